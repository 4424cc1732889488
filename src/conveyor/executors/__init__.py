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
#   by_value, function_pickle, task_call, task_errors, task_options

import typing as _typing

from .._lazy import lazy as _lazily

if _typing.TYPE_CHECKING:
    from .process_pool_executor import ProcessPoolExecutor

__all__ = ["ProcessPoolExecutor"]
__dir__ = __all__.copy

if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, {"ProcessPoolExecutor": "process_pool_executor"})
