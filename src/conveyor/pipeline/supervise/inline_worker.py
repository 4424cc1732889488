"""InlineWorker: a worker that is the engine's own thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ..worker.messages import is_stop
from ..worker.serve import Job, Worker
from ..worker.status_page import StatusPage
from .handle import WorkerHandle
from .stage_port import StagePort

__all__ = ["InlineWorker"]


class InlineWorker(WorkerHandle):
    """Does an item when its results are asked for: in the thread that runs the pipeline, where a debugger can be.

    Nothing else of the run goes on meanwhile.

    Args:
        stage_port: the stage.
        job: what the worker does.
        tell: called with this handle when there is something to do for it.
    """

    most_ahead = 1
    """What it has been given cannot be done by anybody else meanwhile."""

    def __init__(self, stage_port: StagePort, job: Job, tell: Callable[[WorkerHandle], None]) -> None:
        super().__init__(stage_port, StatusPage(-1))
        self._tell = tell
        self._tasks: deque[Any] = deque()
        self._results: list[Any] = []
        self._worker = Worker(job, self._results.append, self.status_page, here="inline")
        self._begun = self._left = self._abandoned = False
        tell(self)

    @property
    def token(self) -> WorkerHandle:
        """This handle."""
        return self

    def _send(self, messages: list[Any]) -> None:
        self._tasks.extend(messages)
        self._tell(self)

    def _take(self) -> list[Any]:
        if self._abandoned:
            return []
        if not self._begun:
            self._begun = True
            if not self._worker.set_up():
                self._leave()
        elif self._tasks and not self._left and not self._worker.serve_one(self._tasks.popleft()):
            self._leave()
        results = self._results[:]
        self._results.clear()
        if self._tasks:
            self._tell(self)
        return results

    def _leave(self) -> None:
        self._left = True
        self._worker.tear_down()

    def _recall(self) -> int:
        count = sum(not is_stop(message) for message in self._tasks)
        self._tasks.clear()
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something, or do something that gives it."""
        return not self._left and (not self._begun or bool(self._tasks))

    def kill(self) -> None:
        """Expect nothing more of it."""
        self._abandoned = True

    def gone(self) -> bool:
        """Whether it has ended."""
        return self._abandoned or self._left
