"""How items become the bytes of a broker's messages, and come back: a codec's envelope, and dead letters in it."""

from __future__ import annotations

from typing import Any, Protocol

from .._carried import Carried, delivered, of_type, typed
from ..codecs import Codec
from ..codecs.envelope import Envelope, Keys
from ..queues.dead_letter import DeadLetter

__all__ = ["Payload", "encoded", "item_of", "payload_for"]

# What no codec but pickle can carry as it is: its parts can. Behind it stands the content type of those.
_LETTER = "application/vnd.conveyor.dead-letter; of="


class Payload(Protocol):
    """A codec as the transports use it; `codecs.envelope.Envelope` is one."""

    name: str
    content_type: str
    """What messages say of their bytes; what other programs wrote has another."""

    @property
    def encode(self) -> Any:
        """Makes an item's bytes. Raises TypeError or ValueError: the codec cannot take it."""
        ...

    def decode(self, body: bytes, content_type: str = "", /) -> Any:
        """The item that was written as that content type.

        Raises:
            BadMessage: the bytes are damaged, or of a type that this cannot read.
        """
        ...


def payload_for(codec: str | Codec | None, key: Keys | None) -> Payload:
    """The codec that is meant; None: plain data.

    Raises:
        ValueError, TypeError, ImportError: as for `codecs.resolve`; or "pickle" is without a key.
    """
    return Envelope.for_("plain" if codec is None else codec, key=key)


def encoded(payload: Payload, item: Any) -> tuple[bytes, str]:
    """The body and the content type of an item.

    Raises:
        TypeError, ValueError: the codec cannot take it.
    """
    try:
        return payload.encode(item), payload.content_type
    except TypeError:
        if type(item) is Carried:
            body, content_type = encoded(payload, item.item)
            return body, typed(content_type, item.words)
        if type(item) is not DeadLetter:
            raise
        letter: DeadLetter[Any] = item  # pyright: ignore[reportUnknownVariableType]
        parts = (letter.item, letter.attempts, letter.error, letter.pid)
        return payload.encode(parts), _LETTER + payload.content_type


def item_of(payload: Payload, body: bytes, content_type: str) -> Any:
    """The item in a message.

    Raises:
        BadMessage: there is none that this codec can read.
    """
    content_type, words = of_type(content_type)
    if words is not None:
        return delivered(item_of(payload, body, content_type), words)
    if content_type.startswith(_LETTER):
        return DeadLetter(*payload.decode(body, content_type.removeprefix(_LETTER)))
    return payload.decode(body, content_type)
