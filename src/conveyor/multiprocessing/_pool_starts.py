"""PoolStarts: which workers of a `Pool` have begun, and when it is no use to start more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import WorkerPoolBroken

__all__ = ["NoWorker", "PoolStarts"]

# So many may die before they have begun, one after the other, and so many times as many as there are.
_LEAST = 10
_TIMES = 3


class PoolStarts:
    """Counts the workers that die in a row before they could take a task: in the initializer, or when they are made.

    The standard library's pool starts others for ever, and its tasks wait for ever.

    Args:
        give_up: called with why, when too many have died and no other is left.
    """

    def __init__(self, give_up: Callable[[WorkerPoolBroken], None]) -> None:
        self._give_up = give_up
        self._there: list[Any] = []
        self._begun: set[int] = set()
        self._most = 0
        self._in_a_row = 0
        self._end = ""

    def add(self, process: Any) -> None:
        """A worker that is going to be started."""
        self._there.append(process)
        self._most = max(self._most, len(self._there))

    def note_begun(self, pid: int) -> None:
        """A worker is about to take its first task; any thread may say so."""
        self._begun.add(pid)
        self._in_a_row = 0

    def may_start(self) -> bool:
        """Whether one more is worth a try; if not, and no other works, the pool has been given up."""
        for process in list(self._there):
            if process.exitcode is not None:
                self._there.remove(process)
                if process.pid in self._begun:
                    self._begun.discard(process.pid)
                else:
                    self._in_a_row += 1
                    self._end = _how(process.exitcode)
        if self._in_a_row < max(_LEAST, _TIMES * self._most):
            return True
        if not self._there:
            self._give_up(
                WorkerPoolBroken(
                    f"{self._in_a_row} worker processes of the Pool have ended one after another before their first "
                    f"task, the last one {self._end}: it is its initializer that ends them, or what the main module "
                    "does when it is imported"
                )
            )
        return False


class NoWorker:
    """Stands in a pool where a worker would, and does nothing."""

    name = "NoProcess"
    daemon = True
    pid = None
    exitcode: int | None = None

    def start(self) -> None:
        """Nothing is started."""

    def is_alive(self) -> bool:
        """It never is."""
        return False

    def join(self, timeout: float | None = None) -> None:
        """There is nothing to wait for."""

    def terminate(self) -> None:
        """It has ended."""
        self.exitcode = 0


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"with status {code}"
