"""What benchmarks/transports.py measures: conveyor, and beside it each broker's own client as its manual shows it."""
