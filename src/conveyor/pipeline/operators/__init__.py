"""The nodes of a run: each takes values, and passes on what it makes of them."""
