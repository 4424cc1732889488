"""From what the user said to the nodes of a run, with what can be found wrong before it begins."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   planner
#   blas_threads, briefing, file_clash, kept_places, open_sources, resuming
