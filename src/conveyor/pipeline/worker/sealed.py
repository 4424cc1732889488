"""Sealed: something that travels as bytes, and is unpickled by whoever can say what to do when that fails."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from .buffers import ReceivedBuffers, SharedBuffers

__all__ = ["Sealed"]

T = TypeVar("T")


class Sealed(Generic[T]):
    """What a process that is being started gets, and unpickles when it is ready to.

    Args:
        content: what is to travel. What only a process that is being started may inherit may be in it.
        buffers: where large buffers of it go, to be shared with others that get the same; None: they travel, too.
    """

    __slots__ = ("_buffers", "_content")

    def __init__(self, content: T, buffers: SharedBuffers | ReceivedBuffers | None = None) -> None:
        self._content: T | bytes = content
        self._buffers = buffers

    def __reduce__(self) -> tuple[object, ...]:
        from multiprocessing.reduction import ForkingPickler

        shared = self._buffers
        if not isinstance(shared, SharedBuffers):
            return _received, (bytes(ForkingPickler.dumps(self._content)), None)
        from .by_value import dump

        places: list[tuple[int, int]] = []

        def make_stays() -> Callable[[pickle.PickleBuffer], bool]:
            places.clear()

            def stays(buffer: pickle.PickleBuffer) -> bool:
                place = shared.place(buffer)
                if place is not None:
                    places.append(place)
                return place is None

            return stays

        return _received, (dump(self._content, make_stays), shared.received(places))

    def open(self) -> T:
        """In the process that got it: the content; raises whatever unpickling raises."""
        assert isinstance(self._content, bytes), "it has not travelled"
        buffers = self._buffers.map() if isinstance(self._buffers, ReceivedBuffers) else ()
        return cast("T", pickle.loads(self._content, buffers=buffers))


def _received(content: bytes, buffers: ReceivedBuffers | None) -> Sealed[bytes]:
    return Sealed(content, buffers)
