"""The codec alone: encode and decode against pickle's dumps and loads, in one process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from math import exp, log
from statistics import fmean, median
from time import perf_counter_ns
from typing import Any

from conveyor.bench.busy import Bystander
from conveyor.bench.codec_items import CODEC_ITEMS
from conveyor.bench.optional import optional
from conveyor.bench.processes import MeasurementFailed, run_together
from conveyor.bench.rivals import RIVALS

__all__ = ["Codec", "CodecPoint", "measure_codec"]

_PROTOCOL = 5


@dataclass(frozen=True)
class CodecPoint:
    """One kind of item: each round's nanoseconds there and back, and what it takes in bytes."""

    title: str
    pickle_ns: tuple[float, ...]
    native_ns: tuple[float, ...]
    pickle_bytes: int
    native_bytes: int
    """0: the codec declines the item, which is then pickled."""

    @property
    def ratio(self) -> float:
        """How many times as fast as pickle, by the medians."""
        return median(self.pickle_ns) / median(self.native_ns)


@dataclass(frozen=True)
class Codec:
    """All kinds of items."""

    points: tuple[CodecPoint, ...]
    others: float = 0.0
    """Cores that other programs kept busy meanwhile, on average."""

    @property
    def ratio(self) -> float:
        """Geometric mean of the ratios."""
        return exp(fmean(log(point.ratio) for point in self.points))


def _functions() -> tuple[Callable[[Any], bytes | None], Callable[[Any], Any]]:
    """The codec's two: private, as the queue's own business, which is what is measured here."""
    native = optional("conveyor._native")
    return native._encode, native._decode


def _pickled(item: Any, count: int) -> None:
    dumps, loads = pickle.dumps, pickle.loads
    for _ in repeat(None, count):
        loads(dumps(item, _PROTOCOL))


def _native(item: Any, count: int) -> None:
    encode, decode = _functions()
    for _ in repeat(None, count):
        decode(encode(item))


def _declined(item: Any, count: int) -> None:
    """As `put` does with what the codec does not know: it was tried first."""
    (encode, _), dumps, loads = _functions(), pickle.dumps, pickle.loads
    for _ in repeat(None, count):
        encode(item)
        loads(dumps(item, _PROTOCOL))


def _point(title: str, rounds: int, slice_ns: int) -> CodecPoint:
    """Rounds of pickle and codec in turn, each reading of about `slice_ns`."""
    encode, decode = _functions()
    item = CODEC_ITEMS[title]()
    encoded = encode(item)
    native = _declined if encoded is None else _native
    if encoded is not None:
        back = decode(encoded)
        if back != item or type(back) is not type(item):
            raise MeasurementFailed(f"the codec changed an item: {title}")
    ways = (_pickled, native)
    counts: list[int] = []
    for way in ways:
        count = 16
        while (took := _timed(way, item, count)) < slice_ns / 10:
            count *= 4
        counts.append(max(1, round(count * slice_ns / took)))
    readings: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for way, count, reading in zip(ways, counts, readings, strict=True):
            reading.append(_timed(way, item, count) / count)
    return CodecPoint(
        title,
        tuple(readings[0]),
        tuple(readings[1]),
        len(pickle.dumps(item, _PROTOCOL)),
        len(encoded or b""),
    )


def _timed(way: Callable[[Any, int], None], item: Any, count: int) -> int:
    began = perf_counter_ns()
    way(item, count)
    return perf_counter_ns() - began


def measure_codec(say: Callable[[str], None], *, rounds: int = 5, slice_ms: float = 15.0) -> Codec:
    """All items of `CODEC_ITEMS`, each in a fresh process."""
    RIVALS["conveyor"].load()
    bystander = Bystander()
    points: list[CodecPoint] = []
    for title in CODEC_ITEMS:
        say(f"codec: {title}")

        def role(_barrier: Any, title: str) -> CodecPoint:
            return _point(title, rounds, round(slice_ms * 1e6))

        points += run_together([partial(role, title=title)], patience=60.0)
    return Codec(tuple(points), bystander.cores())
