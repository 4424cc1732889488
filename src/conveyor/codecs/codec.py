"""Codec: what turns items into bytes and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Codec"]


class Codec(Protocol):
    """How a queue's items become bytes and come back; bring your own as `Queue(codec=...)`.

    Any object with these three attributes will do, it need not inherit. All ends of a queue must use
    the same codec. The methods are called from any thread, also from several at once.
    """

    @property
    def name(self) -> str:
        """What the codec is known by, in every process; not empty, and not the name of a shipped codec.

        A hash of it is stored with each item, so that a reader with another codec gets an error
        and not nonsense. Change the name when the bytes change their meaning.
        """
        ...

    # What can be read as a buffer has no type of its own before Python 3.12: hence `object`.
    def dumps(self, obj: Any, /) -> tuple[bytes | bytearray | memoryview, Sequence[object]]:
        """The item as (header, buffers).

        The header is for a few bytes of description; it may be empty. Each of the buffers is either a
        C-contiguous object with the buffer protocol, or a writer: an object with the attribute
        `nbytes: int` and the method `write_into(view: memoryview) -> None`, which fills all of `view`,
        writable bytes of that size inside the queue. A writer saves the copy of encoding to a buffer
        first. Any of them may be empty.

        Raises:
            TypeError, ValueError: the item is not one for this codec. Whatever is raised here reaches
                the caller of `put`, and the queue is as it was; so with `write_into`.
        """
        ...

    def loads(self, header: memoryview, buffers: list[memoryview], /) -> Any:
        """The item that `dumps` made (header, buffers) of.

        Args:
            header: bytes; valid during this call only, so copy what is to be kept.
            buffers: as many as `dumps` gave, each with the same bytes: one-dimensional, writable and
                the receiver's own. Large ones lie in shared memory. They may be kept as long as
                wanted, so that the item refers to them and nothing is copied; their memory goes back
                to the queue with the last reference.

        Raises:
            Exception: the bytes are damaged; it reaches the caller of `get`. Other processes can write
                to the memory: never trust a length or an offset in there.
        """
        ...
