"""What the user said: the steps of a pipeline as a value, its checks and its description."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   describe, looping, meeting, options
#   bounds, check_arguments, worker_options
#   checks, graph
#   stage
#   ray_executor, run_keywords, stage_options
