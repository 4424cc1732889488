"""`multiprocessing`, whole, with conveyor's queues, pipes and locks in place of its own.

    import conveyor.multiprocessing as multiprocessing

`Queue`, `JoinableQueue`, `SimpleQueue`, `Pipe` and `Pool` are conveyor's, here and on every context, and so
are `Lock`, `RLock`, `Semaphore`, `BoundedSemaphore`, `Condition`, `Event` and `Barrier`.
The rest is the standard library's own: processes, managers, shared memory, and the start
method, which the two modules share. So code that uses the one works together with code that uses the other, and
what is patched in the one is seen in the other.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   context
#   connection, pool, queues, synchronize
#   _pool_parts
#   _pool_worker
#   _pool_queues
#   _pool_starts
#   _forwarding, _unseen_ends
#   dummy/, forkserver, heap, managers, popen_fork, popen_forkserver, popen_spawn_posix, process
#   reduction, resource_sharer, resource_tracker, shared_memory, sharedctypes, spawn, util

from __future__ import annotations

import multiprocessing as _stdlib
import typing as _typing

from . import context as context
from ._forwarding import forward as _forward
from .context import default_context as _default_context

if _typing.TYPE_CHECKING:
    from multiprocessing import active_children, current_process, freeze_support, parent_process, reducer

    from . import connection as connection
    from . import dummy as dummy
    from . import forkserver as forkserver
    from . import heap as heap
    from . import managers as managers
    from . import pool as pool
    from . import popen_fork as popen_fork
    from . import popen_forkserver as popen_forkserver
    from . import popen_spawn_posix as popen_spawn_posix
    from . import process as process
    from . import queues as queues
    from . import reduction as reduction
    from . import resource_sharer as resource_sharer
    from . import resource_tracker as resource_tracker
    from . import shared_memory as shared_memory
    from . import sharedctypes as sharedctypes
    from . import spawn as spawn
    from . import synchronize as synchronize
    from . import util as util
    from .context import AuthenticationError, BufferTooShort, Process, ProcessError, TimeoutError  # noqa: A004

    # Functions in truth, as in the standard library. To type checkers they are the classes, so that
    # `multiprocessing.Queue` can stand in an annotation: typeshed has it so.
    from .queues import JoinableQueue, Queue, SimpleQueue

    Array = _default_context.Array
    Barrier = _default_context.Barrier
    BoundedSemaphore = _default_context.BoundedSemaphore
    Condition = _default_context.Condition
    Event = _default_context.Event
    Lock = _default_context.Lock
    Manager = _default_context.Manager
    Pipe = _default_context.Pipe
    Pool = _default_context.Pool
    RLock = _default_context.RLock
    RawArray = _default_context.RawArray
    RawValue = _default_context.RawValue
    Semaphore = _default_context.Semaphore
    Value = _default_context.Value
    allow_connection_pickling = _default_context.allow_connection_pickling
    cpu_count = _default_context.cpu_count
    get_all_start_methods = _default_context.get_all_start_methods
    get_context = _default_context.get_context
    get_logger = _default_context.get_logger
    get_start_method = _default_context.get_start_method
    log_to_stderr = _default_context.log_to_stderr
    set_executable = _default_context.set_executable
    set_forkserver_preload = _default_context.set_forkserver_preload
    set_start_method = _default_context.set_start_method
else:
    # As the standard library does it: methods of the default context are the module's functions. These are the
    # ones that make something by the context; all others are the standard library's, looked up there at each use.
    _MADE_HERE = (
        "Array Barrier BoundedSemaphore Condition Event JoinableQueue Lock Manager Pipe Pool Queue RLock Semaphore "
        "SimpleQueue Value get_context"
    )
    globals().update((name, getattr(_default_context, name)) for name in _MADE_HERE.split())

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]

_SUBMODULES = frozenset(
    {
        "connection",
        "dummy",
        "forkserver",
        "heap",
        "managers",
        "pool",
        "popen_fork",
        "popen_forkserver",
        "popen_spawn_posix",
        "process",
        "queues",
        "reduction",
        "resource_sharer",
        "resource_tracker",
        "shared_memory",
        "sharedctypes",
        "spawn",
        "synchronize",
        "util",
    }
)


_forward(__name__, _stdlib, _SUBMODULES)
