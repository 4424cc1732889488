"""What the codecs of this package have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import CorruptSegment

__all__ = ["Shipped"]


class Shipped:
    """Base of the codecs that `resolve` knows by name: there is one instance of each in a process.

    A pickle of it holds the name alone. So a queue with such a codec can be sent anywhere, and a
    receiver without the extra gets an error that says what to install.
    """

    name: str

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        from ._resolve import resolve  # which imports this file by way of the codecs

        return resolve, (self.name,)

    def __repr__(self) -> str:
        return f"<codec {self.name!r}>"

    def _refusal(self, obj: object, why: object, right: str) -> str:
        """The text of the error for an item that this codec cannot take."""
        kind = type(obj)
        where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return f"codec {self.name!r} cannot take this item of type {where}{kind.__qualname__}: {why}; {right}"

    def _damage(self, why: object) -> CorruptSegment:
        return CorruptSegment(f"codec {self.name!r} cannot read an item, its bytes are damaged: {why}")

    def _only_buffer(self, header: memoryview, buffers: list[memoryview]) -> memoryview:
        """The content, for a codec that makes one buffer and no header.

        Raises:
            CorruptSegment: there is anything else.
        """
        if header.nbytes or len(buffers) != 1:
            raise self._damage(
                f"a header of {header.nbytes} bytes and {len(buffers)} buffers; it writes no header and one buffer"
            )
        return buffers[0]
