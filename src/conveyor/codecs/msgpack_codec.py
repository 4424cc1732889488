"""The codec `msgpack`: MessagePack, by msgspec."""

from __future__ import annotations

from importlib import import_module
from typing import Any, final

from ._shipped import Shipped

__all__ = ["MsgpackCodec"]

# Type checks must give the same answer whether or not the extra is installed: hence no plain import.
_msgpack: Any = import_module("msgspec.msgpack")


@final
class MsgpackCodec(Shipped):
    """What MessagePack can say, by `msgspec`; compact, fast, and never runs code.

    None, bool, int of 64 bits (-2**63 to 2**64 - 1), float, str, bytes, and list and dict of them come
    back equal; floats exactly, and a dict's keys keep their type. An aware datetime comes back as the same
    instant in UTC.

    As in msgspec, these change without an error:

    - a tuple, set or frozenset comes back as a list; as a dict's key, as a tuple
    - bytearray and memoryview come back as bytes
    - a dataclass, a Struct or an attrs object comes back as a dict, a named tuple as a list, an enum's
      member as its value
    - a naive datetime, a date, time or timedelta, a Decimal and a UUID come back as str
    - an instance of a subclass of list or dict comes back as the plain type
    - the same list twice comes back as two lists
    """

    name = "msgpack"

    def __init__(self) -> None:
        # Both keep no state between calls: threads may share them.
        self._encode: Any = _msgpack.Encoder().encode
        self._decode: Any = _msgpack.Decoder().decode

    def dumps(self, obj: Any, /) -> tuple[bytes, list[bytes]]:
        """The item as MessagePack.

        Raises:
            TypeError: msgspec does not take such a thing.
            ValueError: it contains an int of more than 64 bits, or a str with a lone surrogate.
            RecursionError: it is nested too deeply, or contains itself.
        """
        try:
            content: bytes = self._encode(obj)
        except (TypeError, BufferError) as error:
            raise TypeError(self._refusal(obj, error, _RIGHT)) from error
        except (ValueError, OverflowError) as error:
            raise ValueError(self._refusal(obj, error, _RIGHT)) from error
        return b"", [content]

    def loads(self, header: memoryview, buffers: list[memoryview], /) -> Any:
        """The item, decoded; nothing of it refers to the buffer.

        Raises:
            CorruptSegment: this is no MessagePack, or no item of this codec.
            RecursionError: it is nested too deeply.
        """
        content = self._only_buffer(header, buffers)
        try:
            return self._decode(content)
        except (MemoryError, RecursionError):
            raise  # may be said of sound bytes
        except Exception as error:  # DecodeError, UnicodeDecodeError, a key that cannot be hashed ...
            raise self._damage(error) from error


_RIGHT = (
    "it takes None, bool, int of 64 bits, float, str, bytes, lists, tuples, sets and dicts of them, and what "
    "else msgspec takes; use the codec 'auto' for other objects"
)
