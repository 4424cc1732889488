"""Items that lie in memory which the engine received travel on without a copy: the worker looks at it there."""

from __future__ import annotations

import pickle
import sys
from typing import Any

from ..._memory.descriptor_server import Reach, reach
from ..._native import Memory, is_dumpable, where_received
from ..worker.messages import LENT, wrap

__all__ = ["LEAST_SHARED", "share_memory"]

LEAST_SHARED = 64 * 1024
"""Bytes; finding out whether a smaller item could be lent costs more than its copy."""


def share_memory(items: list[Any]) -> list[Any] | None:
    """Messages that carry these items to a worker, lent where that can be; None: none can.

    The worker may write into what it gets. So an item is lent only if nobody in this process could see that but
    `items` itself, which must be kept until the worker has done with it.

    Args:
        items: what a worker is to be given; nobody else may have the list.
    """
    if reach(is_dumpable()) is Reach.NOBODY:
        return None  # the worker could not reach the memory
    messages: list[Any] = []
    lent = False
    for index in range(len(items)):
        message = _lend(items, index)
        lent = lent or message is not None
        messages += wrap(items[index : index + 1]) if message is None else [message]
    return messages if lent else None


def _lend(items: list[Any], index: int) -> tuple[int, bytes, list[Any]] | None:
    if not _is_alone(items, index):
        return None
    buffers: list[pickle.PickleBuffer] = []
    try:
        head = pickle.dumps(items[index], 5, buffer_callback=buffers.append)
        places = [where_received(buffer) for buffer in buffers]
    except Exception:
        return None  # the queue knows more ways to pickle
    if not any(places):
        return None
    return (
        LENT,
        head,
        [
            bytearray(buffer) if place is None else place
            for buffer, place in zip(buffers, places, strict=True)
        ],
    )


def _references(owner: Any, key: Any) -> int:
    return sys.getrefcount(owner[key])


_ONE = _references([object()], 0)  # what is counted for an object that nobody else has


def _is_alone(owner: Any, key: Any, depth: int = 2) -> bool:
    """Whether this is an array, or a tuple, list or dict of arrays and immutable things, that nobody else refers to."""
    value = owner[key]
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in (int, float, str, bytes, bool, type(None)):
        return True
    del value
    if _references(owner, key) != _ONE:
        return False
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ndarray:
        return _has_base_alone(owner[key])
    if depth and kind is dict:
        return all(_is_alone(owner[key], name, depth - 1) for name in owner[key])
    if depth and kind in (list, tuple):
        return all(_is_alone(owner[key], place, depth - 1) for place in range(len(owner[key])))
    return False


def _has_base_alone(array: Any) -> bool:
    """Whether nobody else refers to what the array is a view of, down to the received memory."""
    owner = array
    while type(owner) is not Memory:
        attribute = "obj" if type(owner) is memoryview else "base"
        if getattr(owner, attribute, None) is None:
            return False  # it lies elsewhere, and cannot be lent
        if sys.getrefcount(getattr(owner, attribute)) != _ONE:
            return False
        owner = getattr(owner, attribute)
    return True
