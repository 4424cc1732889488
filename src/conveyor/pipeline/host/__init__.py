"""This process as pipelines need it: its forks, its signals, and an event loop beside it."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   running_loop
#   event_loop
#   deferred_signals, forking, hearing, importing
