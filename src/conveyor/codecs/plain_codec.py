"""The codec `plain`: plain data, exactly, for bytes that come by a network or lie in a file."""

from __future__ import annotations

import struct
from typing import Any, final

from .._native import PlainCoder
from ..errors import BadMessage
from ._refusal import refuse
from ._shipped import Shipped

__all__ = ["PlainCodec", "encode"]

# What is not in the tree itself stands before it:
#   0x3F | size of the descriptions | their list, as plain data | the buffers, one after another | the tree
_PREAMBLE = 0x3F
_HEAD = struct.Struct("<BI")


@final
class PlainCodec(Shipped):
    """Plain data comes back with the very same types, values and shared references; nothing else is taken.

    None, bool, int of any size, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset; date, time
    and datetime, naive or with a `timezone` or `ZoneInfo`, timedelta; Decimal, UUID; NumPy arrays and scalars without
    objects, structured ones too, in C or Fortran order. Subclasses are refused, for they would come back as something
    else. Up to 256 levels deep.

    Reading never runs code that came with the bytes, takes no more memory than a few times their size, and ends: any
    bytes are either such values or an error. NumPy is imported only for what is NumPy's.
    """

    name = "plain"
    content_type = "application/vnd.conveyor.plain; version=1"

    def dumps(self, obj: Any, /) -> tuple[bytes, list[bytes | memoryview]]:
        """The item; arrays' bytes are buffers of their own, and come back where they lie.

        Raises:
            TypeError, ValueError: see `encode`.
        """
        tree, foreign = _coder.tree(obj)
        if foreign is None:
            return b"", [tree]
        preamble, buffers = _describe(obj, foreign)
        return b"", [preamble + tree, *buffers]

    def loads(self, header: memoryview, buffers: list[memoryview], /) -> Any:
        """The item; arrays lie in the buffers.

        Raises:
            CorruptSegment: the bytes are damaged, or no item of this codec.
        """
        if header.nbytes or not buffers:
            raise self._damage(f"a header of {header.nbytes} bytes and {len(buffers)} buffers")
        try:
            return _read(buffers[0], buffers[1:])
        except BadMessage as error:
            raise self._damage(error) from error

    # All in one run of bytes, as a message of a broker has it.

    def encode(self, obj: Any, /) -> bytes:
        """The item as bytes.

        Raises:
            TypeError: something in it is no plain data; the text names its type, where it is, and the codecs that
                could carry it.
            ValueError: something in it is too large, nested too deeply, or a tuple that contains itself.
        """
        return _coder.encode(obj)

    def decode(self, body: bytes, /) -> Any:
        """The item that `encode` made these bytes of; it keeps nothing of them.

        Raises:
            BadMessage: they are no such bytes. It has no body yet.
        """
        return _read(body, None) if body[:1] == b"\x3f" else _coder.decode(body)


def _join(item: Any, tree: bytes, foreign: list[Any]) -> bytes:
    preamble, buffers = _describe(item, foreign)
    return b"".join([preamble, *buffers, tree])


def _describe(item: Any, foreign: list[Any]) -> tuple[bytes, list[memoryview]]:
    from .foreign_values import Foreign, describe

    descriptions: list[Any] = []
    buffers: list[memoryview] = []
    for value in foreign:
        try:
            description, buffer = describe(value)
        except Foreign as error:
            refuse(item, value, str(error))
        descriptions.append(description)
        if buffer is not None:
            buffers.append(buffer)
    written = _coder.encode(descriptions)
    return _HEAD.pack(_PREAMBLE, len(written)) + written, buffers


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _read(body: bytes | memoryview, buffers: list[memoryview] | None) -> Any:
    """The item of a tree, with or without a preamble; `buffers`: where those of arrays are, None: in the body."""
    with memoryview(body) as view:
        if not view.nbytes or view[0] != _PREAMBLE:
            return _coder.decode(view)
        from .foreign_values import Damaged, build, size_in_buffer

        if view.nbytes < _HEAD.size:
            raise BadMessage("no plain data: it ends in its head")
        at = _HEAD.size
        _, size = _HEAD.unpack_from(view)
        if size > view.nbytes - at:
            raise BadMessage(f"no plain data: it announces descriptions of {size} bytes and has fewer")
        descriptions: Any = _coder.decode(view[at : at + size])
        at += size
        if not _is_list(descriptions):
            raise BadMessage("no plain data: its descriptions are no list")
        rest = iter(buffers or ())
        foreign: list[Any] = []
        for description in descriptions:
            try:
                size_here = size_in_buffer(description)
                buffer: Any = None
                if size_here is not None and buffers is not None:
                    buffer = next(rest, None)
                    if buffer is None or buffer.nbytes != size_here:
                        raise Damaged("its buffer is missing, or of another size")
                elif size_here is not None:
                    if size_here > view.nbytes - at:
                        raise Damaged(f"its array has {size_here} bytes, and there are fewer")
                    buffer = bytearray(view[at : at + size_here])
                    at += size_here
                foreign.append(build(description, buffer))
            except Damaged as error:
                raise BadMessage(f"no plain data: {error}") from error
        if next(rest, None) is not None:
            raise BadMessage("no plain data: it has more buffers than arrays")
        return _coder.decode(view[at:], foreign)


_coder = PlainCoder(refuse, _join)
# PlainCodec.encode without a call in between: this is on the way of every item.
encode = _coder.encode
