"""The payloads: what the items look like, from one int to an array of 8 MiB."""

from __future__ import annotations

import operator
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from conveyor.bench.arrays import ITEM_BYTES, make_array, marks, same_array, tag_of
from conveyor.bench.optional import optional

__all__ = ["PAYLOADS", "Payload"]

_IN_FLIGHT = 16 << 20
"""Bytes: the bound on items in flight, where they are large."""

_WORKING_SET = 64 << 20
"""Bytes of distinct large items: more than the cache of most machines holds."""

_FIRST_TAG = 1_000_003
"""No int that CPython keeps cached."""

_MOST = ("1:1", "4:4", "ping-pong")
"""Topologies of a run without selection, for most payloads: all in all would take too long."""


@dataclass(frozen=True)
class Payload:
    """A family of items, one for each tag (an int below 2**31), all of about the same size.

    `size` is in bytes: what the item takes when pickled, or its length when it is `bytes`.
    `bound` is the `maxsize` given to every queue that takes one; 0 means unbounded. `same` compares
    two items whole. `array`: a NumPy array of float64, judged by its marks in the timed phase.
    """

    name: str
    title: str
    size: int
    make: Callable[[int], Any]
    tag: Callable[[Any], int]
    bound: int = 0
    same: Callable[[Any, Any], bool] = operator.eq
    array: bool = False
    topologies: tuple[str, ...] = _MOST
    """Where it is measured when nobody asks for anything particular."""

    def load(self) -> None:
        """Import what the items need; ImportError when it is missing."""
        if self.array:
            optional("numpy")

    @property
    def pickled(self) -> int:
        """Bytes that an item of the timed phase takes when pickled."""
        return _pickled(self.name)

    @property
    def large(self) -> bool:
        """Whether copying bytes, not the work for each item, is what costs (64 KiB and up)."""
        return self.size >= 1 << 16

    @property
    def specimens(self) -> tuple[Any, ...]:
        """The items of the timed phase, all distinct; producers go round them.

        Large ones take 64 MiB together. One and the same, sent again and again, stays in the cache,
        where no real program's next item is: at 1 MiB that gave conveyor 22 GB/s (6 to 35) where
        distinct items gave 15 (14 to 16).
        """
        return _specimens(self.name)

    def is_specimen(self, item: Any) -> bool:
        """Whether an item that arrived is exactly one of the specimens."""
        if self.array:
            return marks(item) in _marks(self.name)
        specimens = self.specimens
        index = self.tag(item) - self.tag(specimens[0])
        return 0 <= index < len(specimens) and bool(specimens[index] == item)


@cache
def _noise(length: int) -> bytes:
    """`length` bytes that do not compress, the same in every process and every run."""
    return random.Random(length).randbytes(length)


def _small_tuple(tag: int) -> tuple[object, ...]:
    return (tag, "abc", 3.14, {"k": 1})


def _record(tag: int) -> dict[str, object]:
    """About 1 KiB when pickled: what a log line or a row of a table looks like."""
    return {
        "id": tag,
        "host": "worker-07.eu-west-1.example.org",
        "service": "checkout",
        "level": "WARNING",
        "elapsed": 0.734375,
        "retry": False,
        "user": None,
        "path": "/srv/app/releases/2024-11-23/checkout/payment.py",
        "tags": ["payment", "retry", "third-party", "card", "eu"],
        "timings": {"queue": 0.00125, "database": 0.25, "network": 0.375, "render": 0.0625},
        "sizes": [512, 1024, 65536, 7, 300],
        "message": "the gateway did not answer in time; the order stays open " * 9,
    }


def _log_record(tag: int) -> dict[str, object]:
    """What `logging` has to say about one line, as it is sent to a collector."""
    return {
        "time": 1732370412.25 + tag,
        "level": "WARNING",
        "logger": "shop.checkout.payment",
        "message": "the gateway did not answer in time",
        "process": 41733,
        "line": 218,
        "elapsed": 0.734375,
        "request": tag,
    }


@dataclass
class _Order:
    number: int
    customer: str
    amount: float
    paid: bool
    city: str
    remark: str | None


def _order(tag: int) -> _Order:
    return _Order(tag, "Ada Lovelace", 19.75, True, "London", None)


def _array_payload(name: str, title: str, size: int, bound: int, topologies: tuple[str, ...]) -> Payload:
    def make(tag: int) -> Any:
        return make_array(tag, size // ITEM_BYTES)

    return Payload(name, title, size, make, tag_of, bound, same=same_array, array=True, topologies=topologies)


def _bytes_payload(
    name: str, title: str, length: int, bound: int, topologies: tuple[str, ...] = _MOST
) -> Payload:
    def make(tag: int) -> bytes:
        return tag.to_bytes(8, "little") + _noise(length - 8)

    def tag(item: bytes) -> int:
        return int.from_bytes(item[:8], "little")

    return Payload(name, title, length, make, tag, bound, topologies=topologies)


@cache
def _specimens(name: str) -> tuple[Any, ...]:
    payload = PAYLOADS[name]
    first = 42 if name == "tuple" else _FIRST_TAG  # in the tuple, numbers as small as the 42 that names it
    count = _WORKING_SET // payload.size if payload.large else 64
    return tuple(payload.make(tag) for tag in range(first, first + count))


@cache
def _pickled(name: str) -> int:
    return len(pickle.dumps(PAYLOADS[name].make(_FIRST_TAG), pickle.HIGHEST_PROTOCOL))


@cache
def _marks(name: str) -> frozenset[tuple[float, ...]]:
    return frozenset(map(marks, _specimens(name)))


PAYLOADS: dict[str, Payload] = {
    payload.name: payload
    for payload in (
        Payload("int", "int", 4, lambda tag: tag, lambda item: item),
        Payload(
            "tuple",
            "small tuple",
            40,
            _small_tuple,
            lambda item: item[0],
            topologies=("1:1", "1:4", "4:1", "4:4", "ping-pong"),
        ),
        _bytes_payload("bytes40", "40-byte bytes", 40, 0),
        Payload(
            "log", "log record", 190, _log_record, lambda item: item["request"], topologies=("1:1", "4:4")
        ),
        Payload(
            "dataclass", "dataclass of 6", 150, _order, lambda item: item.number, topologies=("1:1", "4:4")
        ),
        Payload("dict1k", "1 KiB dict", 1024, _record, lambda item: item["id"]),
        _bytes_payload("bytes4k", "4 KiB bytes", 1 << 12, 0, ("1:1",)),
        _bytes_payload("bytes64k", "64 KiB bytes", 1 << 16, _IN_FLIGHT >> 16),
        _bytes_payload("bytes1m", "1 MiB bytes", 1 << 20, _IN_FLIGHT >> 20),
        _array_payload("numpy64k", "NumPy 64 KiB", 1 << 16, _IN_FLIGHT >> 16, ("1:1", "4:4")),
        # Two in flight would hold the producer up; four are what the rings of the rivals hold too.
        _array_payload("numpy8m", "NumPy 8 MiB", 8 << 20, 4, ("1:1",)),
    )
}
