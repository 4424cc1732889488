"""What queues and topics of memory:// have in common: where they are in this process, and their control record."""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Generic, TypeVar

from ..errors import WrongKind
from .port import Capabilities, Connection

__all__ = ["MemoryConnection", "MemoryStore"]


class MemoryStore:
    """What is under one name. All under one lock; `items` is notified of what can be taken, `room` of room."""

    def __init__(self) -> None:
        self.kind = ""
        self.lock = threading.Lock()
        self.room = threading.Condition(self.lock)
        self.items = threading.Condition(self.lock)
        self.record: tuple[bytes, int] | None = None
        self.ended = False
        self.changes = 0  # of the record: who waits returns when there is another one


S = TypeVar("S", bound=MemoryStore)

_stores: dict[str, Any] = {}
_guard = threading.Lock()


def _forget() -> None:
    # A forked child has copies, which nobody else sees: that would be a trap.
    global _guard
    _guard = threading.Lock()
    _stores.clear()


os.register_at_fork(after_in_child=_forget)


class MemoryConnection(Connection, Generic[S]):
    """A queue or topic in this process."""

    capabilities = Capabilities(ends_leases=True, sees_end=True, slice_seconds=60.0, process_only=True)

    def __init__(self, kind: str, name: str, store: S) -> None:
        self._name = name
        store.kind = kind
        self.store = store

    def open(self, wait: float) -> None:
        with _guard:
            found = _stores.setdefault(self._name, self.store)
            if found.kind != self.store.kind:
                if found.record is not None:
                    raise WrongKind(
                        f"memory://{self._name} is a {found.kind}, and was asked for as a {self.store.kind}"
                    )
                found = _stores[self._name] = self.store  # of somebody who asked for it with create=False
            self.store = found

    def close(self) -> None:
        pass

    def read_record(self) -> tuple[bytes, Any] | None:
        return self.store.record

    def write_record(self, record: bytes, version: Any) -> bool:
        store = self.store
        with store.lock:
            known = store.record
            if (known[1] if known else None) != version:
                return False
            store.record = record, (version or 0) + 1
            store.ended = json.loads(record)["ended"]
            store.changes += 1
            store.room.notify_all()
            store.items.notify_all()
            return True

    def destroy(self) -> None:
        with _guard:
            if self.store.record is None or _stores.get(self._name) is not self.store:
                raise FileNotFoundError(f"memory://{self._name} does not exist")
            del _stores[self._name]
        with self.store.lock:
            self.store.record = None

    def member(self) -> str | None:
        return "this process"  # which lives, as it asks
