"""PersistentProcess: one process that stays, as the program sees it."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any

from ...errors import Empty
from ..start.starter import Starter
from ..start.worker_process import WorkerProcess
from ..supervise.channels import Channels
from ..worker.messages import DISMISS, LEFT, ORDER, TORN, Unreadable, kind_of
from .main_names import have_same
from .orders import Order

__all__ = ["PersistentProcess"]

# Jobs whose functions, and what was set up for them, a process keeps.
_MOST_KEPT = 16


class PersistentProcess:
    """A process that does one job after the other.

    Args:
        channels: what is said to it and by it.
        process: the process.
        starter: what has started it.
        names: what the program's main module had when it was copied; None: it is no copy, and imports what it needs.
    """

    def __init__(
        self, channels: Channels, process: WorkerProcess, starter: Starter, names: dict[str, Any] | None
    ) -> None:
        self.channels = channels
        self.process = process
        self.starter = starter
        self._names = names
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._dismissed_at = 0.0
        self._left_at: float | None = None
        self.torn: list[tuple[Any, ...]] = []
        """What its teardowns have raised since it was dismissed: fields of failures."""

    def has(self, order: Order) -> bool:
        """Whether it has done this job before, and kept what is set up for it."""
        return order.number in self._kept

    def can_do(self, order: Order) -> bool:
        """Whether the job would find in it what it would find in a new process."""
        return self._names is None or have_same(self._names, order.needed)

    def order(self, order: Order, identity: tuple[int, int, int]) -> None:
        """Have it do this job, until it is told to stop.

        Args:
            order: the job.
            identity: who it is in it; see `IdentityWords`.
        """
        self.channels.status_page.begin_anew()
        self.channels.status_page.identity.write(*identity)
        forgotten: list[int] = []
        sealed = None if order.number in self._kept else order.sealed
        self._kept[order.number] = None
        self._kept.move_to_end(order.number)
        while len(self._kept) > _MOST_KEPT:
            forgotten.append(self._kept.popitem(last=False)[0])
        self.channels.tasks.put((ORDER, order.number, sealed, forgotten))

    def dismiss(self, now: float) -> None:
        """Have it tear down what it has set up, and end.

        Args:
            now: by `time.monotonic`.
        """
        self._dismissed_at = now
        self.channels.tasks.put((DISMISS,))

    def stays_since(self, now: float) -> float:
        """For how many seconds it has had nothing to do but to leave.

        Args:
            now: by `time.monotonic`.
        """
        self._hear(now)
        if self._left_at is not None:
            return now - self._left_at
        return 0.0 if self.channels.status_page.teardown_since else now - self._dismissed_at

    def _hear(self, now: float) -> None:
        taken: list[Any] = []
        with contextlib.suppress(Empty):
            taken = self.channels.results._take_each(1024, Unreadable)  # pyright: ignore[reportPrivateUsage]
        self.torn += [message[1:] for message in taken if kind_of(message) == TORN]
        if any(kind_of(message) == LEFT for message in taken):
            self._left_at = now

    def let_go(self) -> None:
        """Wait for its end, which has been asked for, and let go of what belongs to it."""
        self.process.close()
        self._hear(0.0)
        self.channels.status_page.close()
