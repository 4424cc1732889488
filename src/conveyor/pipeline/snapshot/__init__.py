"""What other programs see of a run while it lasts: it writes its figures now and then where they can be read."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   processes_page
#   publisher
#   run_snapshot
#   recent_load
#   worker_figures
#   page
