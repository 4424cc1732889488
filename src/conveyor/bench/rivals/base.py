"""What the harness asks of a queue: a channel, and its two ends.

The loops of the timed phase live in `Sender.send` and `Receiver.receive`, and an adapter may
replace them: so each rival is called directly, in the tightest loop its own users could write,
with no wrapper's cost added to some rivals and not to others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from time import monotonic_ns
from typing import Any, Literal

__all__ = ["SAMPLE_EVERY", "Channel", "Receiver", "Rival", "Sender", "Shape", "Tally"]

SAMPLE_EVERY = 61
"""In the timed phase one item in so many is compared with what was sent. Prime, so that the samples
do not fall on the same few of the distinct items that go round."""


@dataclass(frozen=True)
class Shape:
    """What a channel is to carry: so many processes at each end, items of so many bytes.

    `bound` is the most items in flight where the rival can be told; 0 means no bound.
    """

    producers: int
    consumers: int
    item_bytes: int
    bound: int

    @property
    def ring_bytes(self) -> int:
        """Size of a ring buffer, for the rivals that need one: what suited them best when tried."""
        return 1 << 20 if self.item_bytes < 1 << 16 else max(4 << 20, 4 * self.item_bytes + (64 << 10))


@dataclass
class Tally:
    """What one consumer saw: monotonic nanoseconds of its first and last item, wrong samples."""

    first_ns: int
    last_ns: int
    wrong: int = 0


class Sender:
    """The producing end of a channel, in its own process."""

    def __init__(self, put: Callable[[Any], object]) -> None:
        self.put = put

    def send(self, items: Sequence[Any], count: int) -> None:
        """Put `count` items, going round those given: the timed loop."""
        put = self.put
        for item in islice(cycle(items), count):
            put(item)

    def close(self) -> None:
        """Return once everything sent is on its way; release what this end holds."""


class Receiver:
    """The consuming end of a channel, in its own process."""

    def __init__(self, get: Callable[[], Any]) -> None:
        self.get = get

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        """Get exactly `count` items (at least one): the timed loop. One in `SAMPLE_EVERY` is checked."""
        get = self.get
        wrong = int(not right(get()))
        first = monotonic_ns()
        rounds, rest = divmod(count - 1, SAMPLE_EVERY)
        for _ in repeat(None, rounds):
            for _ in repeat(None, SAMPLE_EVERY - 1):
                item = get()  # kept until the next one is there, as a program that works on it does
            item = get()
            wrong += not right(item)
        for _ in repeat(None, rest):
            item = get()
        return Tally(first, monotonic_ns(), wrong)

    def close(self) -> None:
        """Release what this end holds."""


class Channel(ABC):
    """One queue of a rival: made in the parent, its ends opened in the children that fork."""

    @abstractmethod
    def sender(self, index: int) -> Sender:
        """The producing end number `index`; called in the process that uses it."""

    @abstractmethod
    def receiver(self, index: int) -> Receiver:
        """The consuming end number `index`; called in the process that uses it."""

    def left_over(self) -> bool:
        """Whether something is still in the queue; it must not be when all counts are reached."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Release what the parent holds; every child has ended."""


class Rival(ABC):
    """A queue to be measured."""

    name: str
    title: str
    style: Literal["single", "many"] = "single"
    """One item a call, or many: the two are compared like with like."""
    ours: bool = False
    distribution: str | None = None
    """The package that must be installed; None for the standard library."""
    one_producer: bool = False
    """It can have a single producing process only."""
    in_place: bool = False
    """Its producer makes the item in the queue's own memory: for large arrays, one way only."""
    unbounded: bool = False
    """It has no bound where the others beside it have one, for comparison."""

    def takes_bound(self, items: int) -> bool:
        """Whether its queue can hold exactly so many items at most."""
        return False

    def most_bytes(self, consumers: int) -> int | None:
        """The largest pickled item that it carries to so many consumers; None: any."""
        return None

    @abstractmethod
    def load(self) -> None:
        """Import what is needed; ImportError when it is missing. Called once, in the parent."""

    @abstractmethod
    def open(self, shape: Shape) -> Channel:
        """A fresh channel."""
