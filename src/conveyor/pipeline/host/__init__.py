"""This process as pipelines need it: its forks, its signals, and an event loop beside it."""
