"""ThreadWorker: a worker that is a thread of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ..flow.local_channel import LocalChannel
from ..host.forking import start_thread
from ..worker.messages import PART, STOP, is_stop
from ..worker.serve import Job, leave_if_forked, serve
from ..worker.status_page import StatusPage
from .handle import WorkerHandle
from .stage_port import StagePort

__all__ = ["ThreadWorker"]

# So many lists with results of one item may wait for the engine; other results are bounded by what it gave.
_PARTS = 4


class _Left(BaseException):
    """Ends the work of a thread whose results nobody wants."""


class ThreadWorker(WorkerHandle):
    """A worker thread, and its two channels.

    A thread cannot be killed: one that is stuck is left behind, as a daemon, and its result is ignored.

    Args:
        owner: the stage.
        job: what the worker does.
        tell: called, in any thread, with this handle when it has results.
    """

    def __init__(self, stage_port: StagePort, job: Job, tell: Callable[[WorkerHandle], None]) -> None:
        super().__init__(stage_port, StatusPage(-1))
        self._tasks = LocalChannel()
        self._results = LocalChannel(lambda: tell(self))
        self._parts = threading.Semaphore(_PARTS)
        self._abandoned = False
        self._process = os.getpid()
        self._thread = start_thread(f"conveyor {stage_port.stage}", self._work, job)

    def _work(self, job: Job) -> None:
        serve(job, self._tasks, self._put, self.status_page, here=True)

    def _put(self, message: Any) -> None:
        leave_if_forked(self._process)
        if type(message) is tuple and message[0] == PART:
            self._parts.acquire()
            if self._abandoned:
                raise _Left
        self._results.put(message)

    @property
    def token(self) -> WorkerHandle:
        """This handle."""
        return self

    def _send(self, messages: list[Any]) -> None:
        self._tasks.put_many(messages)

    def _take(self) -> list[Any]:
        if self._abandoned:
            return []
        messages = self._results.take_each()
        for message in messages:
            if type(message) is tuple and message[0] == PART:
                self._parts.release()
        return messages

    def _recall(self) -> int:
        count = sum(not is_stop(message) for message in self._tasks.take_each())
        if self._abandoned:
            self._tasks.put((STOP,))  # it was among them, and tells the thread to leave when it can
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        return not self._results.empty()

    def kill(self) -> None:
        """Expect nothing more of it."""
        self._abandoned = True
        self._parts.release(_PARTS)
        self._recall()

    def gone(self) -> bool:
        """Whether it has ended, or was left behind."""
        return self._abandoned or not self._thread.is_alive()

    def close(self) -> None:
        """Wait for the end of a thread that is ending; one that was left behind keeps its status page."""
        if not self._abandoned:
            self._thread.join()
            super().close()
