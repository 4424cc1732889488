"""The control record: by what all handles of a queue or topic on a broker agree on its settings and its end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import VersionMismatch, WrongKind
from .port import Settings

__all__ = ["Lost", "Producer", "Record"]

# A version of conveyor that knows no `paused` would take on, and leave it out of what it writes: a record that has some
# is of another format, which that refuses.
_FORMAT, _PAUSED_FORMAT = 1, 2


@dataclass(frozen=True, slots=True)
class Producer:
    """A process inside `producing()`."""

    blocks: int
    """How many blocks it is in."""
    pid: int
    host: str
    member: str | None
    """What `Connection.is_alive` knows it by; None: it sends heartbeats."""
    beats: int = 0
    """Heartbeats so far: while it lives this grows."""
    items: int = 0
    """How many items it has put since it entered, as of the last heartbeat."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A producer that died inside `producing()`."""

    pid: int
    host: str
    items: int


@dataclass(frozen=True, slots=True)
class Record:
    """The record; immutable, a change makes a new one."""

    kind: str
    settings: Settings
    ended: bool = False
    dropped: bool = False
    """Whether `shutdown(immediate=True)` ended it: then nobody hears of lost producers."""
    expected: int = 0
    producers: dict[str, Producer] = field(default_factory=dict[str, Producer])
    lost: tuple[Lost, ...] = ()
    paused: tuple[str, ...] = ()
    """Whose consumers are held back: "" of a queue, names of groups of a topic."""
    groups: tuple[str, ...] = ()
    """The groups of a topic, where what they have would outlast it."""

    def dump(self) -> bytes:
        """The record as it lies at the broker: JSON."""
        parts = {"format": _PAUSED_FORMAT if self.paused else _FORMAT, **asdict(self)}
        for name in ("paused", "groups"):
            if not parts[name]:
                del parts[name]
        return json.dumps(parts, separators=(",", ":")).encode()

    @classmethod
    def load(cls, data: bytes, kind: str, shown: str) -> Record:
        """The record that `dump` made.

        Raises:
            VersionMismatch: another version of conveyor made it, or something else.
            WrongKind: it is that of something else than a `kind`.
        """
        try:
            parts: Any = json.loads(data)
            if parts.pop("format") not in (_FORMAT, _PAUSED_FORMAT):
                raise ValueError(parts)
            if parts["kind"] != kind:
                raise WrongKind(f"{shown} is a {parts['kind']}, and was asked for as a {kind}")
            return cls(
                parts["kind"],
                Settings(**parts["settings"]),
                parts["ended"],
                parts["dropped"],
                parts["expected"],
                {key: Producer(**value) for key, value in parts["producers"].items()},
                tuple(Lost(**value) for value in parts["lost"]),
                tuple(parts.get("paused", ())),
                tuple(parts.get("groups", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise VersionMismatch(
                f"{shown}: its control record is of another version of conveyor, or damaged: {data[:80]!r}"
            ) from error

    def holds(self, part: str) -> bool:
        """Whether the consumers of the queue or group of that name are held back; not from what was dropped."""
        return part in self.paused and not self.dropped

    def is_over(self) -> bool:
        """Whether nobody is inside or expected."""
        return not self.producers and not self.expected

    def entered(self, who: str, counts: bool, producer: Producer) -> Record:
        """With `producer.blocks` blocks of a process; `counts`: one more of those that were expected is there.

        The same again is nothing new: a change that is repeated, after its answer was lost, changes nothing.
        """
        known = self.producers.get(who)
        if known is not None and known.blocks >= producer.blocks:
            return self
        entry = producer if known is None else replace(known, blocks=producer.blocks)
        expected = self.expected - 1 if counts and self.expected else self.expected
        return replace(self, expected=expected, producers={**self.producers, who: entry})

    def left(self, who: str, blocks: int) -> Record:
        """With so many blocks of a process as are left."""
        known = self.producers.get(who)
        if known is None or known.blocks <= blocks:  # None: it was taken for dead before
            return self
        producers = {**self.producers}
        if blocks:
            producers[who] = replace(known, blocks=blocks)
        else:
            del producers[who]
        return replace(self, producers=producers)._settled()

    def without(self, dead: list[str]) -> Record:
        """With those producers as lost ones."""
        gone = [self.producers[who] for who in dead if who in self.producers]
        if not gone:
            return self
        producers = {who: entry for who, entry in self.producers.items() if who not in dead}
        lost = (*self.lost, *(Lost(entry.pid, entry.host, entry.items) for entry in gone))
        return replace(self, producers=producers, lost=lost)._settled()

    def expecting(self, n: int) -> Record:
        """With `n` producers that must still come."""
        return replace(self, expected=n)._settled()

    def beaten(self, who: str, items: int) -> Record:
        """With one more heartbeat of a process."""
        known = self.producers.get(who)
        if known is None:
            return self
        entry = replace(known, beats=known.beats + 1, items=items)
        return replace(self, producers={**self.producers, who: entry})

    def holding(self, part: str, held: bool) -> Record:
        """With the consumers of the queue or group of that name held back, or not."""
        if (part in self.paused) == held:
            return self
        others = tuple(each for each in self.paused if each != part)
        return replace(self, paused=(*others, part) if held else others)

    def with_group(self, group: str, there: bool) -> Record:
        """With that group, or without it: then its consumers are not held back either."""
        if not there:
            others = tuple(each for each in self.groups if each != group)
            return replace(self.holding(group, False), groups=others)
        return self if group in self.groups else replace(self, groups=(*self.groups, group))

    def _settled(self) -> Record:
        return replace(self, ended=True) if self.is_over() else self
