"""The thread that looks after what a handle holds at its broker: leases that must be extended or ended, heartbeats."""

# pyright: reportPrivateUsage=false
# A handle and its threads are one thing in several files.
from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar

from ..errors import BrokerUnreachable
from .control import BEAT_SECONDS
from .link import NEVER
from .port import Backend, Capabilities, Delivery

__all__ = ["Beater", "Keeper"]

R = TypeVar("R")

_IDLE_SECONDS = 5.0


class _Holder(Protocol):
    """What the thread asks of the handle whose leases it looks after; see `Settling`."""

    _open: dict[int, tuple[Delivery, float]]

    @property
    def _capabilities(self) -> Capabilities: ...
    def _call(self, do: Callable[[Backend], R], deadline: float = NEVER) -> R: ...
    def _give_back_dropped(self, deliveries: Sequence[Delivery]) -> None: ...
    def _end_leases(self) -> None: ...


class Beater:
    """A daemon thread that sends a handle's heartbeats while it is inside `producing()`. It keeps no handle alive."""

    def __init__(self, handle: Any) -> None:
        self._handle = weakref.ref(handle)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """See to it that the thread runs."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="conveyor-beats", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(BEAT_SECONDS)
            handle = self._handle()
            with self._lock:
                if handle is None or not handle._control.blocks:
                    self._thread = None
                    return
            with contextlib.suppress(Exception):
                handle._control.beat()
            del handle


class Keeper:
    """A daemon thread for the leases of one handle; it is started with the first, and keeps no handle alive.

    Attributes:
        dropped: deliveries of leases that were collected. A queue that the collector may put into at any moment.
    """

    def __init__(self, handle: _Holder) -> None:
        self._handle = weakref.ref(handle)
        capabilities = handle._capabilities
        self._alive_seconds = None if capabilities.keep_alive is None else capabilities.keep_alive / 3
        self._lease_for = capabilities.keep_alive or 0.0
        self._ends = capabilities.ends_leases
        self._next = NEVER
        self.dropped: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="conveyor-leases", daemon=True).start()

    def leased(self, until: float) -> None:
        """There is a lease that lasts until then."""
        if until == NEVER:
            if self._alive_seconds is None:
                return
            until = monotonic() + self._alive_seconds
        elif self._ends:
            return
        if until < self._next:
            self._next = until
            self.dropped.put(None)

    def _run(self) -> None:
        while True:
            wait = min(self._next - monotonic(), _IDLE_SECONDS)
            try:
                first = self.dropped.get(timeout=max(wait, 0.0))
            except queue.Empty:
                first = None
            handle = self._handle()
            if handle is None:
                return
            try:
                if first is not None:
                    self._take_dropped(handle, first)
                if self._next <= monotonic():
                    self._look_after(handle)
            except (BrokerUnreachable, OSError, ValueError):
                self._next = monotonic() + 1.0  # the user's own calls say so; here it is tried again
            del handle

    def _take_dropped(self, handle: _Holder, first: Delivery) -> None:
        all_of_them = [first]
        while True:
            try:
                more = self.dropped.get_nowait()
            except queue.Empty:
                break
            if more is not None:
                all_of_them.append(more)
        handle._give_back_dropped(all_of_them)

    def _look_after(self, handle: _Holder) -> None:
        self._next = NEVER
        entries = list(handle._open.values())
        if not self._ends and any(until <= monotonic() for _, until in entries):
            handle._end_leases()
        if self._alive_seconds is not None:
            held = [delivery for delivery, until in entries if until == NEVER]
            if held:
                seconds = self._lease_for
                lost = handle._call(lambda backend: backend.extend(held, seconds), monotonic() + seconds)
                for delivery in lost:
                    handle._open.pop(id(delivery), None)
        following = NEVER
        for _, until in list(handle._open.values()):
            if until == NEVER:
                until = NEVER if self._alive_seconds is None else monotonic() + self._alive_seconds
            elif self._ends:
                continue
            following = min(following, until)
        if following < self._next:
            self._next = following
