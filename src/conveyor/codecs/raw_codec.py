"""The codec `raw`: bytes, and nothing else."""

from __future__ import annotations

from typing import Any, final

from ._shipped import Shipped

__all__ = ["RawCodec"]


@final
class RawCodec(Shipped):
    """Bytes-like objects in, a `memoryview` out; one copy on put, none on get.

    Only the bytes travel: an array's shape and type do not, nor does it matter whether it was `bytes`
    or `bytearray`. What comes out is a writable one-dimensional view of unsigned bytes, the receiver's
    own to keep.
    """

    name = "raw"

    def dumps(self, obj: Any, /) -> tuple[bytes, list[memoryview]]:
        """The bytes of `obj`, in C order.

        Raises:
            TypeError: it has no buffer, or not a C-contiguous one.
        """
        try:
            view = memoryview(obj)
        except (TypeError, ValueError, BufferError) as error:  # NumPy has ValueErrors for some of its types
            raise TypeError(self._refusal(obj, error, _RIGHT)) from error
        if not view.c_contiguous:
            raise TypeError(self._refusal(obj, "its bytes do not lie one after another in C order", _RIGHT))
        return b"", [view]

    def loads(self, header: memoryview, buffers: list[memoryview], /) -> memoryview:
        """The bytes, where they lie.

        Raises:
            CorruptSegment: this is no item of this codec.
        """
        return self._only_buffer(header, buffers)


_RIGHT = (
    "it takes bytes, bytearray, memoryview and other C-contiguous buffers: encode a str, copy a strided view "
    "with bytes(view), or use the codec 'auto' for objects"
)
