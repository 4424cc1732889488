"""QueueHistory: rates, ages and waiting times of a queue, from its counters at several moments."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

__all__ = ["QueueHistory", "QueueRates"]


@dataclass(frozen=True, slots=True)
class QueueRates:
    """What a queue does now. Items carry no time stamps: all of this comes from counters, within the time between two
    looks."""

    in_rate: float = 0.0
    """Items put per second, over the last seconds."""
    out_rate: float = 0.0
    """Items taken per second."""
    oldest_age: float | None = None
    """Seconds that the oldest waiting item has waited; None: nothing waits, or it is not known."""
    at_least: bool = False
    """It was there before the first look: it is older than `oldest_age`."""
    wait_p50: float | None = None
    """Seconds that half of the items taken in the last minute had waited at most; None: none was taken."""
    wait_p99: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class QueueHistory:
    """Remembers what was counted, and when.

    The n-th item was put when the count of those put passed n, and taken when the count of those taken did: so the
    time that an
    item waited is the time between two moments at which somebody looked (Little's method of cumulative counts). Items
    that
    come back from a lease count as taken once, when they were leased first.

    Args:
        span: seconds over which waiting times are gathered.
        window: seconds over which rates are.
        most: how many looks are remembered. When there are more, every second of the older ones is forgotten.
    """

    def __init__(self, span: float = 60.0, window: float = 3.0, most: int = 720) -> None:
        self._span, self._window, self._most = span, window, most
        self._times: list[float] = []
        self._ins: list[int] = []
        self._outs: list[int] = []
        # When, how long they had waited, and how many.
        self._waits: deque[tuple[float, float, int]] = deque()

    def add(self, at: float, items_in: int, items_out: int) -> QueueRates:
        """What was counted at this moment.

        Args:
            at: by the monotonic clock, in seconds.
            items_in, items_out: as in `Statistics`.
        """
        if self._times and (at <= self._times[-1] or items_in < self._ins[-1] or items_out < self._outs[-1]):
            if at <= self._times[-1]:
                return self._rates(at)
            self._forget()  # another queue, or a damaged one
        items_in = max(items_in, items_out)  # what is read while it changes may be some items apart
        self._times.append(at)
        self._ins.append(items_in)
        self._outs.append(items_out)
        if len(self._times) > 1 and (taken := items_out - self._outs[-2]):
            # The one in the middle stands for all that were taken meanwhile.
            put_at = self._put_at(self._outs[-2] + (taken - 1) // 2)
            if put_at is not None:
                self._waits.append((at, max((self._times[-2] + at) / 2 - put_at, 0.0), taken))
        while self._waits and self._waits[0][0] < at - self._span:
            self._waits.popleft()
        self._thin()
        return self._rates(at)

    def _forget(self) -> None:
        self._times, self._ins, self._outs = [], [], []
        self._waits.clear()

    def _thin(self) -> None:
        if len(self._times) <= self._most:
            return
        half = self._most // 2
        self._times[:half] = self._times[:half:2]
        self._ins[:half] = self._ins[:half:2]
        self._outs[:half] = self._outs[:half:2]

    def _put_at(self, number: int) -> float | None:
        """When the item of that number (from 0) was put; None: before the first look."""
        place = bisect_right(self._ins, number)
        if place == 0:
            return None
        before, after = self._ins[place - 1], self._ins[place]
        share = (number - before + 1) / (after - before)
        return self._times[place - 1] + share * (self._times[place] - self._times[place - 1])

    def _rates(self, at: float) -> QueueRates:
        first = min(bisect_right(self._times, at - self._window), len(self._times) - 1)
        first = max(first - 1, 0) if first == len(self._times) - 1 else first
        seconds = self._times[-1] - self._times[first]
        in_rate = (self._ins[-1] - self._ins[first]) / seconds if seconds > 0 else 0.0
        out_rate = (self._outs[-1] - self._outs[first]) / seconds if seconds > 0 else 0.0
        age, at_least = None, False
        if self._ins[-1] > self._outs[-1]:
            put_at = self._put_at(self._outs[-1])
            age, at_least = max(at - (self._times[0] if put_at is None else put_at), 0.0), put_at is None
        p50, p99 = self._percentiles()
        return QueueRates(in_rate, out_rate, age, at_least, p50, p99)

    def _percentiles(self) -> tuple[float | None, float | None]:
        if not self._waits:
            return None, None
        ordered = sorted((wait, count) for _, wait, count in self._waits)
        total = sum(count for _, count in ordered)
        found: list[float] = []
        for share in (0.5, 0.99):
            seen = 0
            for wait, count in ordered:
                seen += count
                if seen >= share * total:
                    found.append(wait)
                    break
        return found[0], found[1]

    def series(self, since: float = 0.0) -> list[tuple[float, int, float, float]]:
        """For a chart: time, depth, items put and taken per second since the time before.

        Args:
            since: only what was counted after that.
        """
        rows = zip(self._times, self._ins, self._outs, strict=True)
        return [
            (t1, max(i1 - o1, 0), (i1 - i0) / (t1 - t0), (o1 - o0) / (t1 - t0))
            for (t0, i0, o0), (t1, i1, o1) in pairwise(rows)
            if t1 > since
        ]
