"""The codec `json`: the standard library's json, as UTF-8."""

from __future__ import annotations

import json
from typing import Any, final

from ._shipped import Shipped

__all__ = ["JsonCodec"]


@final
class JsonCodec(Shipped):
    """What JSON can say, in compact UTF-8; for items that must be readable without Python, or never run code.

    None, bool, int, float, str, and list and dict of them come back equal; floats exactly. NaN and the
    infinities are taken, as the words `NaN`, `Infinity` and `-Infinity`, which strict JSON does not have:
    refusing a measurement for being NaN would be the greater surprise. Lone surrogates come back too.

    As in the `json` module, these change without an error:

    - a tuple comes back as a list
    - a dict's keys come back as str: 1 as "1", 1.5 as "1.5", True as "true", None as "null". Of two keys
      that become the same, the last one's value remains
    - an instance of a subclass (a named tuple, an IntEnum, an OrderedDict) comes back as the plain type
    - the same list twice comes back as two lists
    """

    name = "json"

    def __init__(self) -> None:
        # Both keep no state between calls: threads may share them.
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        self._decode = json.JSONDecoder().decode

    def dumps(self, obj: Any, /) -> tuple[bytes, list[bytes]]:
        """The item as JSON.

        Raises:
            TypeError: JSON has no such thing, as bytes or sets, or a dict's key is no str or number.
            ValueError: it contains itself, or an int of more digits than Python converts.
            RecursionError: it is nested too deeply.
        """
        try:
            text = self._encode(obj)
        except TypeError as error:
            raise TypeError(self._refusal(obj, error, _RIGHT)) from error
        except ValueError as error:
            raise ValueError(self._refusal(obj, error, _RIGHT)) from error
        # A lone surrogate, as in the name of a file, has no UTF-8; this writes it so that it comes back.
        return b"", [text.encode("utf-8", "surrogatepass")]

    def loads(self, header: memoryview, buffers: list[memoryview], /) -> Any:
        """The item, decoded; nothing of it refers to the buffer.

        Raises:
            CorruptSegment: this is no JSON, or no item of this codec.
            RecursionError: it is nested too deeply.
        """
        content = self._only_buffer(header, buffers)
        try:
            return self._decode(str(content, "utf-8", "surrogatepass"))
        except ValueError as error:
            raise self._damage(error) from error


_RIGHT = (
    "it takes None, bool, int, float, str, and lists, tuples and dicts of them, with str, numbers or None "
    "as a dict's keys; use the codec 'auto' for other objects"
)
