"""Codecs, as a type checker sees them. Never run."""

from typing import Any, assert_type

from conveyor.codecs import Codec, resolve


class Writer:
    nbytes = 3

    def write_into(self, view: memoryview) -> None:
        view[:] = b"abc"


class Whole:
    name = "whole"

    def dumps(self, obj: str) -> tuple[bytes, list[bytes]]:
        return b"", [obj.encode()]

    def loads(self, header: memoryview, buffers: list[memoryview]) -> str:
        return bytes(buffers[0]).decode()


class Parts:
    @property
    def name(self) -> str:
        return "parts"

    def dumps(self, item: Any) -> tuple[bytearray, tuple[Writer | memoryview, ...]]:
        return bytearray(), (Writer(), memoryview(item))

    def loads(self, head: memoryview, parts: list[memoryview]) -> Any:
        return parts


class Nameless:
    def dumps(self, obj: Any) -> tuple[bytes, list[bytes]]:
        return b"", []

    def loads(self, header: memoryview, buffers: list[memoryview]) -> Any: ...


def resolving() -> None:
    assert_type(resolve("json"), str | Codec)
    resolve(Whole())
    resolve(Parts())
    resolve(Nameless())  # wrong
    resolve(Whole)  # wrong
    resolve(None)  # wrong
