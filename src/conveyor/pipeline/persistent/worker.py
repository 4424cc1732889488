"""PersistentWorker: a worker that is a process which was there before its run, and stays."""

from __future__ import annotations

from typing import Any

from ..supervise.process_worker import ProcessWorker
from ..supervise.stage_port import StagePort
from ..worker.messages import BROKEN, ORDER, STOP, STRANDED, WORN, kind_of
from .orders import Order
from .process import PersistentProcess
from .processes import PersistentProcesses

__all__ = ["PersistentWorker"]


class PersistentWorker(ProcessWorker):
    """A worker for one stage of one run, in a process that is given back when it leaves.

    Args:
        stage_port: the stage.
        processes: where the process comes from.
        order: what it does.

    Raises:
        OSError: the system gives no memory, or no more processes.
    """

    def __init__(self, stage_port: StagePort, processes: PersistentProcesses, order: Order) -> None:
        self._processes = processes
        self._process: PersistentProcess = processes.take(order, stage_port.identity)
        self._ends = False  # the process, too
        super().__init__(stage_port, self._process.channels)
        self.work_in(self._process.process)

    def _hear(self, message: tuple[Any, ...]) -> None:
        super()._hear(message)
        if message[0] in (BROKEN, STRANDED, WORN):
            self._ends = True

    def _recall(self) -> int:
        recalled = self._recalled()
        # A new process has not come so far; whatever follows will follow this.
        orders = [message for message in recalled if kind_of(message) == ORDER]
        if orders:
            self._send(orders)
        return sum(kind_of(message) not in (STOP, ORDER) for message in recalled)

    def kill(self) -> None:
        """End the process."""
        self._ends = True
        super().kill()

    def may_be_gone(self, found: set[Any]) -> bool:
        """Whether the kernel has told of its end, or it has said its last word."""
        return self.left_at > 0 or super().may_be_gone(found)

    def gone(self) -> bool:
        """Whether the process has ended, or is free for others."""
        return super().gone() or (self.left_at > 0 and not self._ends)

    def close(self) -> None:
        """Give the process back, or wait for its end."""
        if self._ends or not self.left_at or self.process.ended():
            self._processes.discard(self._process)
        else:
            self._processes.give_back(self._process)
