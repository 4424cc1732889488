"""Codecs, as a type checker sees them. Never run."""

from typing import Any, assert_type

from conveyor import JoinableQueue, Queue, connect
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


def on_a_queue() -> None:
    Queue[int](codec="json")
    JoinableQueue[int](codec=Whole())
    connect("shm://name", codec="msgpack")
    Queue[int](codec=Nameless())  # wrong
    Queue[int](codec=5)  # wrong


def in_place() -> None:
    q = Queue[Any]()
    q.put(q.allocate((3, 4), "f4"))
    q.allocate(5).sum()
    q.allocate("three")  # wrong
    assert_type(q.statistics().memory_lent, int)
    view = q.allocate_bytes(10)
    view[0] = 1
    q.allocate_bytes(None)  # wrong
