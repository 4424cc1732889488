"""HMAC-SHA256 before a message: shows that somebody who knows the key wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from hmac import compare_digest
from typing import Any, Final, cast

from ..errors import WrongKey

__all__ = ["Signature"]

_SIZE: Final = 32
_BLOCK: Final = 64
# What is signed is a message of conveyor's, whatever else the key may be used for.
_CONTEXT: Final = b"conveyor signed message, version 1\0"


class _Hmac:
    """HMAC (RFC 2104) with SHA-256 of the context and what follows.

    hmac.new takes twice as long: here both hashes are begun once, with the key and the context, and copied.
    """

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + _CONTEXT)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, *parts: Any) -> bytes:
        inner = self._inner.copy()
        for part in parts:
            inner.update(part)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Signature:
    """Signs with the first of the keys, and takes what is signed with any of them.

    Raises:
        TypeError: a key is no bytes. ValueError: a key is empty, or there is none.
    """

    def __init__(self, key: bytes | Sequence[bytes]) -> None:
        given: object = key
        keys = cast(Sequence[object], [given] if isinstance(given, bytes | bytearray | memoryview) else given)
        if not isinstance(keys, list | tuple):
            raise TypeError(f"key is of type {type(key).__name__}; it must be bytes, or a list of bytes")
        if not keys:
            raise ValueError("key is an empty list; it must have a key")
        self._codes: list[_Hmac] = []
        for number, each in enumerate(keys):
            if not isinstance(each, bytes | bytearray | memoryview):
                raise TypeError(f"key {number} is of type {type(each).__name__}; it must be bytes")
            if not each:
                raise ValueError(f"key {number} is empty; 32 bytes of secrets.token_bytes are a good one")
            self._codes.append(_Hmac(bytes(cast(bytes, each))))

    def signed(self, *parts: bytes) -> bytes:
        """The parts, one after another, behind their signature."""
        return b"".join((self._codes[0].of(*parts), *parts))

    def verified(self, message: bytes) -> bytes:
        """What is behind the signature.

        Raises:
            WrongKey: it is not by any of the keys.
        """
        content = memoryview(message)[_SIZE:]
        good = 0
        for code in self._codes:  # all of them: how long it takes says nothing
            good |= compare_digest(code.of(content), message[:_SIZE])
        if not good:
            raise WrongKey(
                "a message's signature is by none of the keys of this end: it was put with another key, or changed "
                "since"
            )
        return bytes(content)
