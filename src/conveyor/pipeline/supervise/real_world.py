"""RealWorld: the machine, as a run's scheduler sees it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..._native import spin_for_any
from ..base.clock import SystemClock
from .exit_cause import LikelyCause
from .handle import WorkerHandle
from .start_worker import Hiring
from .system_poller import SystemPoller

if TYPE_CHECKING:
    from ..host.event_loop import Loop

__all__ = ["RealWorld"]


class RealWorld(SystemClock):
    """Processes, threads, coroutines, descriptors, and the clock of the machine.

    Args:
        start_method: `fork`, `spawn` or `forkserver`; None: Python's default.
        stdout_to_stderr: what the functions print in worker processes goes to standard error.
        loop: the event loop for coroutines; None: one in a thread of its own.
    """

    is_seen = True
    """See `World`."""

    def __init__(
        self, start_method: str | None = None, stdout_to_stderr: bool = False, loop: Loop | None = None
    ) -> None:
        super().__init__()
        self._loop = loop
        self._context = multiprocessing.get_context(start_method)
        self._stdout_to_stderr = stdout_to_stderr
        self._likely = LikelyCause()
        self.spin: Callable[[list[Any], float], bool] = spin_for_any

    def poller(self, outlet: int | None) -> SystemPoller:
        """See `World`."""
        return SystemPoller(outlet)

    def workforce(
        self, tell: Callable[[WorkerHandle], None], failed: Callable[[BaseException], None]
    ) -> Hiring:
        """See `World`."""
        return Hiring(self._context, self._stdout_to_stderr, tell, failed, self._loop)

    def exit_cause(self, exitcode: int | None) -> str:
        """See `World`."""
        return self._likely.of(exitcode)
