"""How each codec's items lie in one run of bytes, with the content type that says so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast
from urllib.parse import quote

from ..errors import BadMessage
from ._resolve import resolve
from .codec import Codec
from .plain_codec import PlainCodec, encode

__all__ = ["Format", "Pickled", "format_of", "readable_format"]


class Format(Protocol):
    """A codec as messages use it."""

    name: str
    content_type: str
    foreign_without_type: bool
    """Whether a message that says nothing is taken for one of these: other programs write such."""

    def encode(self, item: Any, /) -> bytes: ...
    def decode(self, body: bytes, /) -> Any: ...


class _Plain:
    name = "plain"
    content_type = PlainCodec.content_type
    foreign_without_type = False

    def __init__(self) -> None:
        self.encode: Callable[[Any], bytes] = encode
        self.decode: Callable[[bytes], Any] = cast(PlainCodec, resolve("plain")).decode


class _Single:
    """A codec that makes one buffer and no header: the buffer is the body, as other programs write and read it."""

    foreign_without_type = True

    def __init__(self, codec: Codec, content_type: str) -> None:
        self._codec = codec
        self.name = codec.name
        self.content_type = content_type

    def encode(self, item: Any, /) -> bytes:
        _, [buffer] = self._codec.dumps(item)
        return buffer if isinstance(buffer, bytes) else bytes(cast(Any, buffer))

    def decode(self, body: bytes, /) -> Any:
        return self._codec.loads(memoryview(b""), [memoryview(bytearray(body))])


class _Framed:
    """Any codec: number of buffers, sizes of the header and of each buffer, then these."""

    foreign_without_type = False
    _HEAD = struct.Struct("<II")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.name = codec.name
        self.content_type = f"application/vnd.conveyor.codec.{quote(codec.name, safe='')}; version=1"
        if len(self.content_type) > 255:
            raise ValueError(
                f"codec has the name {codec.name!r:.100}; at most about 200 letters have room in a message"
            )

    def encode(self, item: Any, /) -> bytes:
        header, buffers = self._codec.dumps(item)
        parts: list[Any] = []
        for buffer in buffers:
            write_into = getattr(buffer, "write_into", None)
            if write_into is None:
                parts.append(memoryview(cast(Any, buffer)).cast("B"))
            else:
                made = bytearray(cast(Any, buffer).nbytes)
                with memoryview(made) as view:
                    write_into(view)
                parts.append(made)
        sizes = struct.pack(f"<{len(parts)}Q", *map(len, parts))
        return b"".join([self._HEAD.pack(len(parts), len(header)), sizes, header, *parts])

    def decode(self, body: bytes, /) -> Any:
        size = len(body)
        if size < self._HEAD.size:
            raise BadMessage("a message ends in its head")
        count, header_size = self._HEAD.unpack_from(body)
        at = self._HEAD.size + 8 * count
        if at + header_size > size:
            raise BadMessage("a message announces more than it has")
        sizes = struct.unpack_from(f"<{count}Q", body, self._HEAD.size)
        if at + header_size + sum(sizes) != size:
            raise BadMessage("a message's parts have not the size that it announces")
        header = memoryview(body)[at : at + header_size]
        at += header_size
        buffers: list[memoryview] = []
        for each in sizes:
            buffers.append(memoryview(bytearray(body[at : at + each])))
            at += each
        return self._codec.loads(header, buffers)


class Pickled:
    """Only ever read when its signature was found to be good."""

    name = "pickle"
    content_type = "application/vnd.conveyor.pickle; version=1"
    foreign_without_type = False

    def __init__(self) -> None:
        import pickle

        self.encode: Callable[[Any], bytes] = partial(pickle.dumps, protocol=5)
        self.decode: Callable[[bytes], Any] = pickle.loads


_SINGLE = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "raw": "application/octet-stream",
}
# What other programs call it.
_OTHER_NAMES = {
    "text/json": "application/json",
    "application/x-json": "application/json",
    "application/x-msgpack": "application/msgpack",
    "application/vnd.msgpack": "application/msgpack",
}
_PICKLES = ("application/vnd.conveyor.pickle", "application/x-python-serialize", "application/x-pickle")


def format_of(codec: str | Codec) -> Format:
    """The format of the codec that is meant.

    Raises:
        ValueError, TypeError, ImportError: as `resolve`.
    """
    found = resolve(codec)
    if found == "pickle":
        return Pickled()
    if isinstance(found, str | PlainCodec):  # "auto" is plain here
        return _Plain()
    content_type = _SINGLE.get(found.name)
    return _Framed(found) if content_type is None else _Single(found, content_type)


def readable_format(content_type: str, own: Format) -> Format:
    """The format of a message that says `content_type`: the end's own, or one that runs no code and is known to all.

    Raises:
        BadMessage: it is another one.
    """
    media_type, *parameters = [part.strip() for part in content_type.lower().split(";")]
    media_type = _OTHER_NAMES.get(media_type, media_type)
    if media_type.endswith("+json"):
        media_type = "application/json"
    for name, form in (("own", own.content_type), ("plain", _Plain.content_type)):
        own_type, _, version = form.lower().partition(";")
        if media_type == own_type:
            if version and version.strip() not in parameters:
                raise BadMessage(f"a message says {content_type!r:.100}; this conveyor reads version 1")
            _check_charset(parameters, content_type)
            return own if name == "own" else _Plain()
    for name in ("json", "msgpack"):
        if media_type == _SINGLE[name]:
            _check_charset(parameters, content_type)
            try:
                return format_of(name)
            except ImportError as error:
                raise BadMessage(f"a message is of type {content_type!r:.100}: {error}") from error
    if media_type in _PICKLES:
        raise BadMessage(
            f"a message is a pickle ({content_type!r:.100}); it is read only if it is signed, with key="
        )
    raise BadMessage(
        f"a message is of type {content_type!r:.100}; this end reads {own.content_type!r}, plain data, JSON and "
        "MessagePack"
    )


def _check_charset(parameters: list[str], content_type: str) -> None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(" \"'") not in ("utf-8", "utf8", "us-ascii", "ascii"):
            raise BadMessage(f"a message is of type {content_type!r:.100}; text must be UTF-8")
