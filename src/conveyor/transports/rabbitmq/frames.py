"""Messages as the frames that AMQP 0-9-1 sends them in.

The client makes an object for each frame and encodes field by field, which takes ten times as long.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any

__all__ = ["content", "plain_properties", "properties_of", "publishing", "settlement"]

_METHOD, _HEADER, _BODY, _END = 1, 2, 3, b"\xce"
_FRAME_BYTES = 8
"""Around what a frame carries."""
_head = Struct(">BHI").pack  # type, channel, size
_method = Struct(">HHH").pack  # class, method, ticket
_header = Struct(">BHIHHQ").pack  # those of a frame; class, weight, size of the body
_settle = Struct(">BHIHHQBB").pack
_BASIC, _PUBLISH, _ACK, _NACK, _REQUEUE = 60, 40, 80, 120, 2
# Which properties there are: content type, delivery mode, message id.
_FLAGS = (1 << 15 | 1 << 12 | 1 << 7).to_bytes(2, "big")
_DURABLE = b"\x02"


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def publishing(channel: int, exchange: str, key: str, mandatory: bool) -> bytes:
    """The frame that says where a message goes."""
    method = _method(_BASIC, _PUBLISH, 0) + _short(exchange) + _short(key) + bytes((mandatory,))
    return _head(_METHOD, channel, len(method)) + method + _END


@lru_cache(64)
def _typed(content_type: str) -> bytes:
    return _FLAGS + _short(content_type) + _DURABLE


def plain_properties(content_type: str, message_id: str) -> bytes:
    """Those of a durable message."""
    return _typed(content_type) + _short(message_id)


def properties_of(properties: Any) -> bytes:
    """Any, from the client's object."""
    return b"".join(properties.encode())


def content(channel: int, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """The frames of a message itself.

    Args:
        frame_max: bytes that a frame may have in all.
    """
    size = len(body)
    header = _header(_HEADER, channel, 12 + len(properties), _BASIC, 0, size) + properties + _END
    most = frame_max - _FRAME_BYTES
    if size <= most:
        return header + _head(_BODY, channel, size) + body + _END if size else header
    parts = [header]
    for start in range(0, size, most):
        part = body[start : start + most]
        parts += (_head(_BODY, channel, len(part)), part, _END)
    return b"".join(parts)


def settlement(channel: int, tag: int, acknowledge: bool, multiple: bool) -> bytes:
    """The frame that acknowledges a delivery, or has it go back to its queue; or (`multiple`) all up to it."""
    if acknowledge:
        return _settle(_METHOD, channel, 13, _BASIC, _ACK, tag, multiple, 0xCE)
    return _settle(_METHOD, channel, 13, _BASIC, _NACK, tag, multiple | _REQUEUE, 0xCE)
