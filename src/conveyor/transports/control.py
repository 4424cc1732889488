"""What all who use a queue or topic on a broker agree on: its end (`shutdown`, `producing`, `expect_producers`), and
whether its consumers are held back (`pause`).

All changes are compare-and-set on the control record. Who produces sends heartbeats, unless the transport can see by
itself who lives; who waits for items looks at them. Nobody's clock is compared with anybody else's: a producer is lost
when its count of heartbeats has not grown for a while of the one who looks.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, TypeVar

from ..errors import ConveyorError, ProducerLost, ShutDown
from .link import NEVER, Healing, Link
from .port import Connection, ConnectionLost, Settings
from .record import Producer, Record

__all__ = ["BEAT_SECONDS", "LOST_SECONDS", "Control"]

C = TypeVar("C", bound=Connection)
R = TypeVar("R")

BEAT_SECONDS = 1.0
"""A producer tells that it lives so often."""
LOST_SECONDS = 5.0
"""One that has not for so long is taken for dead."""
_MOST_EXPECTED = 2**24 - 1
_MOST_PRODUCERS = 256


class Control(Generic[C]):
    """The record as one handle sees it.

    Attributes:
        record: as it was read last.
        who: stands for this handle in this process.
        items: how many items it has put.
    """

    def __init__(self, link: Link[C], kind: str, shown: str) -> None:
        self._link = link
        self._kind = kind
        self._shown = shown
        self._lock = threading.Lock()
        self.record: Record | None = None
        self._version: Any = None
        self._read_at = 0.0
        self._seen: dict[str, tuple[int, float]] = {}
        self.blocks = 0
        self.items = 0
        self.who = _new_id()

    def forked(self) -> None:
        """This is a forked child: another producer than its parent."""
        self._lock = threading.Lock()
        self.who = _new_id()
        self.blocks = 0
        self.items = 0

    # -- making it

    def join(self, backend: C, create: bool | None, wanted: Settings) -> Settings:
        """Find the record, or make it; the settings that count.

        Raises:
            FileExistsError, FileNotFoundError: as `create` demands.
            WrongKind, VersionMismatch: it is the record of something else.
        """
        while True:
            found = backend.read_record()
            if found is not None:
                if create:
                    raise FileExistsError(f"{self._shown} exists already")
                self._note(*found)
                break
            if create is False:
                raise FileNotFoundError(f"{self._shown} does not exist; create=None makes it")
            fresh = Record(self._kind, wanted)
            if backend.write_record(fresh.dump(), None):
                self.record = fresh
                self._version = None
                self._read_at = 0.0
                break
        assert self.record is not None
        return self.record.settings

    def join_group(self, backend: C, group: str) -> None:
        """Have the record name a group of the topic; the record was found or made before."""
        while True:
            record = self.read(backend)
            changed = record.with_group(group, True)
            if changed is record:
                return
            if backend.write_record(changed.dump(), self._version):
                self.record, self._version = changed, None
                return

    # -- reading it

    def _note(self, data: bytes, version: Any) -> Record:
        record = self.record
        if record is None or version is None or version != self._version:
            record = Record.load(data, self._kind, self._shown)
            self.record, self._version = record, version
        self._read_at = monotonic()
        return record

    def read(self, backend: C) -> Record:
        """The record, read now."""
        found = backend.read_record()
        if found is None:
            raise FileNotFoundError(f"{self._shown} was removed")
        return self._note(*found)

    def is_ended(self, backend: C) -> bool:
        """Whether the queue was shut down, as known `record_seconds` ago or later."""
        record = self.record
        if record is not None and record.ended:
            return True
        if monotonic() - self._read_at < backend.capabilities.record_seconds:
            return False
        return self.read(backend).ended

    def is_over(self) -> bool:
        """Whether it was shut down, as the record was read last."""
        record = self.record
        return record is not None and record.ended

    def is_held(self, backend: C, part: str) -> bool:
        """Whether consumers are held back, as known `record_seconds` ago or later.

        Args:
            backend: to read the record by, if what is known is older.
            part: "" of a queue, the name of a group.
        """
        record = self.record
        now = monotonic()
        if record is None or now - self._read_at >= backend.capabilities.record_seconds:
            # Before it is read: if the handler of a signal ends this, the next call is not to begin with it again.
            self._read_at = now
            record = self.read(backend)
        return bool(record.paused) and record.holds(part)

    def look(self, backend: C) -> Record:
        """Read the record, and strike out producers that are dead."""
        record = self.read(backend)
        if record.ended or not record.producers:
            return record
        now = monotonic()
        dead: list[str] = []
        for who, entry in record.producers.items():
            if who == self.who:
                continue
            if entry.member is not None:
                if not backend.is_alive(entry.member):
                    dead.append(who)
                continue
            beats, since = self._seen.get(who, (-1, now))
            if beats != entry.beats:
                self._seen[who] = (entry.beats, now)
            elif now - since > LOST_SECONDS:
                dead.append(who)
        if not dead:
            return record
        for who in dead:
            self._seen.pop(who, None)
        return self.change(lambda record: record.without(dead))

    def end(self) -> Exception:
        """What `get` raises at the end."""
        record = self.record
        if record is None or record.dropped or not record.lost:
            return ShutDown(f"the {self._kind} was shut down, and all items are taken")
        first = record.lost[0]
        return ProducerLost(first.pid, None, first.items, len(record.lost) - 1, first.host)

    # -- changing it

    def change(self, to: Callable[[Record], Record], deadline: float = NEVER) -> Record:
        """Put what `to` makes of the record in its place, however many others do the same; the new record.

        Raises:
            Exception: what `to` raises; the record is as it was then.
            BrokerUnreachable: the broker is, and may have the change or not.
        """
        pause = 0.001
        healing: Healing | None = None
        while True:
            backend = self._link.backend or self._link.open(deadline)
            generation = self._link.generation
            try:
                found = backend.read_record()
                if found is None:
                    raise FileNotFoundError(f"{self._shown} was removed")
                record = self._note(*found)
                changed = to(record)
                if changed is record:
                    return record
                if backend.write_record(changed.dump(), found[1]):
                    self.record, self._version = changed, None
                    return changed
            except ConnectionLost as error:
                healing = healing or self._link.healing(deadline)
                healing.after(generation, error)
                continue
            time.sleep(pause * random.random())
            pause = min(2 * pause, 0.1)

    def shutdown(self, immediate: bool) -> None:
        """See `Queue.shutdown`."""

        def change(record: Record) -> Record:
            if record.ended and (record.dropped or not immediate):
                return record
            return replace(record, ended=True, dropped=record.dropped or immediate)

        self.change(change)

    def hold(self, part: str, held: bool) -> None:
        """See `Queue.pause` and `resume`."""
        self.change(lambda record: record.holding(part, held))

    def leave_group(self, group: str) -> None:
        """Have the record say nothing of a group: it is removed."""
        self.change(lambda record: record.with_group(group, False))

    def expect(self, n: int) -> None:
        """See `Queue.expect_producers`."""
        if not hasattr(n, "__index__"):
            raise TypeError(f"n is {n!r}; it must be an integer")
        if not 0 <= n <= _MOST_EXPECTED:
            raise ValueError(f"n is {n}; it must be from 0 to {_MOST_EXPECTED}")

        def change(record: Record) -> Record:
            if record.ended:
                raise ShutDown(f"the {self._kind} was shut down")
            return record.expecting(int(n))

        self.change(change)

    def enter(self, counts: bool) -> None:
        """This process is inside one more block."""
        backend = self._link.backend or self._link.open()
        member = backend.member()
        with self._lock:
            if self.blocks == 0:
                self.items = 0

            def change(record: Record) -> Record:
                if record.ended:
                    raise ShutDown(f"the {self._kind} was shut down")
                if len(record.producers) >= _MOST_PRODUCERS and self.who not in record.producers:
                    raise ConveyorError(f"{_MOST_PRODUCERS} processes are inside producing() already")
                producer = Producer(self.blocks + 1, os.getpid(), socket.gethostname(), member)
                return record.entered(self.who, counts, producer)

            self.change(change)
            self.blocks += 1

    def leave(self) -> None:
        """This process is inside one block less."""
        with self._lock:
            self.blocks -= 1
            blocks = self.blocks
            self.change(lambda record: record.left(self.who, blocks))

    def beat(self) -> None:
        """Tell that this process lives; called every `BEAT_SECONDS` while it is inside a block."""
        with self._lock:
            if self.blocks:
                self.change(lambda record: record.beaten(self.who, self.items), monotonic() + BEAT_SECONDS)


def _new_id() -> str:
    return os.urandom(8).hex()
