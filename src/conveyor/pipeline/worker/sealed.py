"""Sealed: something that travels as bytes, and is unpickled by whoever can say what to do when that fails."""

from __future__ import annotations

import pickle
from typing import Generic, TypeVar, cast

__all__ = ["Sealed"]

T = TypeVar("T")


class Sealed(Generic[T]):
    """What a process that is being started gets, and unpickles when it is ready to.

    Args:
        content: what is to travel. What only a process that is being started may inherit may be in it.
    """

    __slots__ = ("_content",)

    def __init__(self, content: T) -> None:
        self._content: T | bytes = content

    def __reduce__(self) -> tuple[object, ...]:
        from multiprocessing.reduction import ForkingPickler

        return _received, (bytes(ForkingPickler.dumps(self._content)),)

    def open(self) -> T:
        """In the process that got it: the content; raises whatever unpickling raises."""
        assert isinstance(self._content, bytes), "it has not travelled"
        return cast("T", pickle.loads(self._content))


def _received(content: bytes) -> Sealed[bytes]:
    return Sealed(content)
