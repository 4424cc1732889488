"""The loop that drives a run, and all its decisions."""
