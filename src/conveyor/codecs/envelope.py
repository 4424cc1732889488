"""What a message on a broker or in a file says of itself, and how it is read: content type, version, signature.

    envelope = Envelope.for_("plain")
    headers, body = envelope.pack(item)         # {"content-type": "application/vnd.conveyor.plain; version=1"}
    item = envelope.unpack(headers, body)

Where there are no headers, `pack_alone` puts the content type before the body. With `key`, messages are signed, and
only signed ones are read; codec="pickle" needs one. docs/codecs.md has the formats, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..errors import BadMessage, WrongKey
from .codec import Codec
from .formats import Format, Pickled, format_of, readable_format
from .signature import Signature

__all__ = ["Envelope", "Keys"]

Keys = bytes | Sequence[bytes]

_HEADER: Final = "content-type"
_SIGNED: Final = "application/vnd.conveyor.signed"
_SIGNED_1: Final = f"{_SIGNED}; version=1"
# Before a body without headers: two bytes that begin neither text nor an item of a codec of ours, the length of the
# content type, and that itself, or for the usual ones a number of one byte.
_ALONE: Final = b"\xc3\x9b"
_MOST_KNOWN: Final = 16
_USUAL: Final = (
    "",  # a length, and the content type in words
    "application/vnd.conveyor.plain; version=1",
    _SIGNED_1,
    "application/json",
    "application/msgpack",
)


class Envelope:
    """Packs items for a broker or a file, and unpacks what comes from there. Any thread may use it.

    Attributes:
        name: of the codec.
        content_type: what the messages that it packs say of their bytes.
        encode: makes the body of a message of `content_type` of an item. Raises TypeError or ValueError if the codec
            cannot take it; the text says why, and which could.
    """

    encode: Callable[[Any], bytes]

    def __init__(self, form: Format, signature: Signature | None, arguments: tuple[Any, Any]) -> None:
        self._form = form
        self._signature = signature
        self._arguments = arguments
        self.name = form.name
        self.content_type: str = form.content_type if signature is None else _SIGNED_1
        # The method itself, where nothing is to be added: this is on the way of every item.
        self.encode = form.encode
        if signature is not None:
            self.encode = partial(_sign, signature.signed, _alone(form.content_type), form.encode)
        self._known: dict[str, Format] = {}  # by content type

    @classmethod
    def for_(cls, codec: str | Codec = "plain", *, key: Keys | None = None) -> Envelope:
        """The envelope of messages in that codec.

        Args:
            codec: a codec's name, or a codec of one's own. "auto" is "plain" here.
            key: a secret that all who put and get share: messages are signed with it (HMAC-SHA256), and what is not
                is refused before a byte of it is decoded. Of several, the first signs and each is good to read, so
                that a key can be replaced: first all learn the new one, then it goes to the front, then the old one
                goes. A signature shows that somebody with the key wrote the message, not when, nor where to, and
                hides nothing.

        Raises:
            ValueError: "pickle" without a key, an empty key, or no such codec.
            TypeError: a key is no bytes, or codec is no codec.
        """
        signature = None if key is None else Signature(key)
        form = format_of(codec)
        if isinstance(form, Pickled) and signature is None:
            raise ValueError(
                "codec is 'pickle', and unpickling runs whatever code the bytes name: over a network or in a file it "
                "needs key=b\"...\", with which messages are signed and checked; or use the codec 'plain'"
            )
        return cls(form, signature, (codec, key))

    def decode(self, body: bytes, content_type: str = "", /) -> Any:
        """The item that was written as that content type; by another program too, as JSON or MessagePack.

        Args:
            content_type: what the message says; empty: nothing.

        Raises:
            WrongKey: it is not signed with one of the keys, or it is signed, and there is no key here.
            BadMessage: it is damaged, or of a type that this envelope does not read. Both have the body.
        """
        try:
            if content_type == self.content_type and self._signature is None:
                return self._form.decode(body)
            return self._decode_other(body, content_type)
        except BadMessage as error:
            error.body, error.content_type = bytes(body), content_type
            raise
        except MemoryError:
            raise  # may be said of a sound message
        except Exception as error:
            raise BadMessage(
                f"a message of type {content_type or 'unknown'!r} cannot be read: {type(error).__name__}: {error}",
                bytes(body),
                content_type,
            ) from error

    def pack(self, item: Any, /) -> tuple[dict[str, str], bytes]:
        """The headers and the body of a message with the item. Raises as `encode`."""
        return {_HEADER: self.content_type}, self.encode(item)

    def unpack(self, headers: Mapping[str, Any] | None, body: bytes, /) -> Any:
        """The item of a message with these headers, whose names may be written in any case. Raises as `decode`."""
        found: Any = headers.get(_HEADER) if headers else None
        if found is None:
            for name, value in (headers or {}).items():
                if name.lower().replace("_", "-") == _HEADER:
                    found = value
        content_type = found.decode("latin-1") if isinstance(found, bytes) else str(found or "")
        return self.decode(body, content_type)

    def pack_alone(self, item: Any, /) -> bytes:
        """A message that needs no headers. Raises as `encode`."""
        return _alone(self.content_type) + self.encode(item)

    def unpack_alone(self, message: bytes, /) -> Any:
        """The item of a message without headers: of `pack_alone`, or else in this codec. Raises as `decode`."""
        return self.decode(message, "")

    def _decode_other(self, body: bytes, content_type: str) -> Any:
        if not content_type and body[:2] == _ALONE:
            content_type, body = _without_prefix(body)
        if not content_type:
            if self._form.foreign_without_type:
                content_type = self._form.content_type
            else:
                raise BadMessage("a message does not say of what content type it is")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == _SIGNED:
            if self._signature is None:
                raise WrongKey('a message is signed, and this end has no key; connect with key=b"..."')
            _check_version(content_type)
            content_type, body = _inside(self._signature.verified(body))
        elif self._signature is not None:
            raise WrongKey(
                f"a message of type {content_type!r:.100} is not signed, and this end reads signed ones alone"
            )
        return readable_format(content_type, self._form).decode(body)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._arguments

    def __repr__(self) -> str:
        return f"<envelope of codec {self.name!r}{'' if self._signature is None else ', signed'}>"


def _again(codec: str | Codec, key: Keys | None) -> Envelope:
    return Envelope.for_(codec, key=key)


def _check_version(content_type: str) -> None:
    if content_type != _SIGNED_1 and "version=1" not in content_type.replace(" ", "").lower().split(";"):
        raise BadMessage(f"a message says {content_type!r:.100}; this conveyor reads version 1")


def _sign(signed: Callable[..., bytes], prefix: bytes, encode: Callable[[Any], bytes], item: Any, /) -> bytes:
    return signed(prefix, encode(item))


def _inside(content: bytes) -> tuple[str, bytes]:
    if content[:2] != _ALONE:
        raise BadMessage("a signed message does not say what is in it")
    return _without_prefix(content)


def _alone(content_type: str) -> bytes:
    """The prefix that says the content type."""
    if content_type in _USUAL:
        return _ALONE + bytes([_USUAL.index(content_type)])
    words = content_type.encode("ascii")
    return _ALONE + bytes([0, len(words)]) + words


def _without_prefix(message: bytes) -> tuple[str, bytes]:
    """The content type, and the body behind the prefix."""
    number = message[2] if len(message) > 2 else len(_USUAL)
    if number == 0 and len(message) > 3 and len(message) >= 4 + message[3]:
        end = 4 + message[3]
        return message[4:end].decode("latin-1"), message[end:]
    if not 0 < number < len(_USUAL):
        raise BadMessage("a message without headers says of what content type it is in no way known here")
    return _USUAL[number], message[3:]
