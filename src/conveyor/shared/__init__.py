"""Shared state: locks and their kin, values, arrays, structs, dicts and lists in shared memory."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   array, condition, struct, value
#   barrier, dict, event, list, locks, semaphores
#   _cell, key_update, _keys, _number_types, _store, _wait

import typing as _typing

from .._lazy import lazy as _lazily

if _typing.TYPE_CHECKING:
    from .array import SharedArray
    from .barrier import Barrier
    from .condition import Condition
    from .dict import SharedDict
    from .event import Event
    from .list import SharedList
    from .locks import Lock, RLock
    from .semaphores import BoundedSemaphore, Semaphore
    from .struct import SharedStruct
    from .value import SharedValue

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "Semaphore",
    "SharedArray",
    "SharedDict",
    "SharedList",
    "SharedStruct",
    "SharedValue",
]
__dir__ = __all__.copy

_LAZY = {
    "Barrier": "barrier",
    "BoundedSemaphore": "semaphores",
    "Condition": "condition",
    "Event": "event",
    "Lock": "locks",
    "RLock": "locks",
    "Semaphore": "semaphores",
    "SharedArray": "array",
    "SharedDict": "dict",
    "SharedList": "list",
    "SharedStruct": "struct",
    "SharedValue": "value",
}


if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)
