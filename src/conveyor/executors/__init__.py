"""Executors: the interface of `concurrent.futures`, on the engine and the workers of pipelines."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   process_pool_executor
#   bound_executor
#   submitter
#   runner
#   task_engine
#   settling_node, task_node, task_source
#   task_limits
#   task
#   map_call, process_future
#   function_pickle, task_call, task_errors, task_options
