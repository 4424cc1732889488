"""Runs of a pipeline in a simulated world: virtual time, workers without processes, every choice drawn from a seed."""
