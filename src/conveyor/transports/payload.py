"""How items become the bytes of a broker's messages, and come back."""

from __future__ import annotations

from typing import Any, Protocol

from .. import _native

__all__ = ["Payload", "payload_for"]


class Payload(Protocol):
    """A codec as the transports use it."""

    name: str
    content_type: str
    """What messages say of their bytes; what other programs wrote has another."""

    def encode(self, item: Any, /) -> bytes:
        """The item's bytes."""
        ...

    def decode(self, body: bytes, content_type: str, /) -> Any:
        """The item that was written as that content type.

        Raises:
            Exception: the bytes are damaged, or of a type that this cannot read.
        """
        ...


class _Plain:
    name = "plain"
    content_type = "application/x-conveyor; version=1"

    def encode(self, item: Any, /) -> bytes:
        body = _native._encode(item)  # pyright: ignore[reportPrivateUsage]
        if body is None:
            raise TypeError(f"{type(item).__qualname__} is no plain data")
        return body

    def decode(self, body: bytes, content_type: str, /) -> Any:
        return _native._decode(body)  # pyright: ignore[reportPrivateUsage]


def payload_for(codec: Any, key: bytes | None) -> Payload:
    """The codec that is meant."""
    return _Plain()
