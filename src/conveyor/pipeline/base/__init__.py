"""What every room of the pipeline shares: failures, events, times and texts."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   events, retry
#   failure
#   again, byte_size, clock, format, phase, weight, worker_state
