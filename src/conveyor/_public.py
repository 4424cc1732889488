"""The public names, wherever in the package they lie: what classes say of themselves, and what modules they were in.

A pickle names a class by its module and name, and outlives the layout of the package: an item in a broker or a file
may be a `DeadLetter`, and an array or memoryview in an item names the function that rebuilds it. So the public
classes say that they are of `conveyor`, and the names of modules that once were seen stay importable.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

__all__ = ["former_modules", "public"]

C = TypeVar("C", bound=type)

_PACKAGE = __name__.rpartition(".")[0]


def public(cls: C) -> C:
    """Let a class say that it is of `conveyor`, in its repr and in pickles."""
    cls.__module__ = _PACKAGE
    return cls


# Former module: where it is now, and the names that were public in it or that stand in pickles of items.
_FORMER = {
    "_reducers": ("_memory.reducers", "_array_of _memoryview_of"),
    "barrier": ("shared.barrier", "Barrier BrokenBarrierError"),
    "condition": ("shared.condition", "Condition"),
    "dead_letter": ("queues.dead_letter", "DeadLetter"),
    "event": ("shared.event", "Event"),
    "joinable_queue": ("queues.joinable_queue", "JoinableQueue"),
    "key_update": ("shared.key_update", "KeyUpdate"),
    "leases": ("queues.leases", "Lease Leases"),
    "locks": ("shared.locks", "Lock RLock"),
    "pipe": ("queues.pipe", "Connection Pipe"),
    "pipeline.account": ("pipeline.supervise.worker_stats", "WorkerAccount"),
    "pipeline.description": ("pipeline.graph.describe", "Description Edge Vertex"),
    "pipeline.failure": ("pipeline.base.failure", "Failure"),
    "pipeline.lines": ("pipeline.sources.lines", "Lines read_lines"),
    "queue": ("queues.queue", "Queue"),
    "semaphores": ("shared.semaphores", "BoundedSemaphore Semaphore"),
    "shared_array": ("shared.array", "SharedArray"),
    "shared_dict": ("shared.dict", "SharedDict"),
    "shared_list": ("shared.list", "SharedList"),
    "shared_struct": ("shared.struct", "SharedStruct"),
    "shared_value": ("shared.value", "SharedValue"),
    "simple_queue": ("queues.simple_queue", "SimpleQueue"),
    "statistics": ("queues.statistics", "Statistics"),
    "subscription": ("topics.subscription", "Subscription"),
    "topic": ("topics.topic", "Topic"),
    "topic_statistics": ("topics.statistics", "SubscriberStatistics TopicStatistics"),
}


class _FormerModule(ModuleType):
    """A former module: has what was in it, imported when it is first asked for."""

    def __init__(self, name: str, now: str, names: str) -> None:
        super().__init__(f"{_PACKAGE}.{name}", f"The former name of `{_PACKAGE}.{now}`.")
        self.__all__ = [each for each in names.split() if not each.startswith("_")]
        self._now = f"{_PACKAGE}.{now}"
        self._names = frozenset(names.split())

    def __getattr__(self, name: str) -> Any:
        # Only these: what looks through all modules for a name (pickle does) must not import any.
        if name not in self._names:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(self._now), name)


def former_modules(package: str) -> None:
    """Make modules of a package importable by the names that they had; called by the package when it is imported.

    Args:
        package: its full name.
    """
    here = sys.modules[package]
    for path, (now, names) in _FORMER.items():
        parent, _, name = f"{_PACKAGE}.{path}".rpartition(".")
        if parent == package:
            module = sys.modules[f"{package}.{name}"] = _FormerModule(path, now, names)
            setattr(here, name, module)
