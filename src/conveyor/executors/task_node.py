"""TaskNode: the workers of an executor, and the calls that they have."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

from ..pipeline.base.failure import Failure
from ..pipeline.base.retry import Retry
from ..pipeline.flow.chunk import NO_RESULT, Chunk
from ..pipeline.graph.stage import Stage
from ..pipeline.operators.work import WorkNode
from ..pipeline.supervise.engine_context import EngineContext
from ..pipeline.supervise.limits import Limits
from ..pipeline.worker.serve import back_off
from .by_value import call_by_value
from .task import Task, task_of
from .task_limits import TaskLimits

__all__ = ["TaskNode"]

_MOST_ITEMS = 100_000
_MOST_BYTES = 64 * 1024 * 1024
_NEVER = float("inf")


class TaskNode(WorkNode):
    """A stage whose items are calls: each has limits and retries of its own, and can be cancelled.

    Args:
        context: the engine.
        spec: the stage.
        most: workers at most.
        note: told of each failure, and whether the call is given up; else it is tried again.
    """

    def __init__(
        self, context: EngineContext, spec: Stage, most: int, note: Callable[[Failure, bool], None]
    ) -> None:
        self._note = note
        self.task_limits = TaskLimits(spec)
        """How long calls may take."""
        self._unfinished: list[Task] = []
        self._to_stop: deque[Any] = deque()
        super().__init__(context, [spec], most, _MOST_ITEMS, _MOST_BYTES)

    def limits(self) -> Limits:
        """How long its workers may take for what they are at."""
        return self.task_limits

    @property
    def is_empty(self) -> bool:
        """Whether no call is under way, and no worker is leaving: nothing happens unless somebody tells."""
        return not self.buffer.items and not any(handle.shutting_down for handle in self.pool.handles)

    def deadline(self) -> float | None:
        """When something is to be done though nothing happens."""
        return None if self.is_empty else super().deadline()

    def take_from_the_stuck(self, now: float) -> float:
        """See `WorkNode`."""
        return _NEVER if self.is_empty else super().take_from_the_stuck(now)

    def flush(self) -> None:
        """Note what will never come."""
        self._unfinished = self.take_unfinished()
        super().flush()

    def take_unfinished(self) -> list[Task]:
        """Calls that were begun and not done, now that the run is over, however it ended."""
        found, self._unfinished = [*self._unfinished, *map(task_of, self.buffer.unfinished())], []
        return found

    def collect(self, found: set[Any]) -> None:
        """See `WorkNode`. What is done is forgotten: an executor may be idle for long."""
        super().collect(found)
        for handle in self.pool.handles:
            if handle.token in found:
                handle.forget()

    # -- cancelling ---------------------------------------------------------------------------------------------

    def stop(self, task: Any) -> None:
        """A call that has begun is not wanted any more; any thread may say so, and wake the engine."""
        self._to_stop.append(task)

    def advance(self, now: float) -> bool:
        """See `WorkNode`."""
        if self._to_stop:
            while self._to_stop:
                self._stop(self._to_stop.popleft())
            self._drop_unwanted()
        return super().advance(now)

    def _stop(self, task: Any) -> None:
        for handle in list(self.pool.handles):
            if handle.has_origin(task):
                handle.collect()
                self.come_back(handle.take_back())
                # What it has now, it has taken, maybe several at once: one of them it is at, if it is not done just
                # now, and the others it would be at next.
                if handle.ended_for is None and not any(task_of(one).wanted for one in handle.origins()):
                    handle.ended_for = RuntimeError("the call was cancelled")
                    handle.kill()
        self.gather()

    def _drop_unwanted(self) -> None:
        """What waits for a worker, having come back from one or come too early for it, waits only if it is wanted."""
        waiting: list[Chunk] = []
        while (chunk := self.ledger.next(_MOST_ITEMS)) is not None:
            waiting.append(chunk)
        self.come_back(waiting)
        self.gather()

    def _put_in(self, chunk: Chunk, first: bool = False) -> None:
        """What comes back to wait again waits only if it is wanted."""
        if not first or chunk.origins is None or all(task_of(one).wanted for one in chunk.origins):
            super()._put_in(chunk, first)
            return
        parts = [chunk]
        while parts[-1].count > 1:
            parts.append(self.split(parts[-1], parts[-1].start + 1))
        for part in reversed(parts):
            assert part.origins is not None
            if task_of(part.origins[0]).wanted:
                super()._put_in(part, first)
            else:
                part.end_with(NO_RESULT)
                self.grown(part, 1, 0)

    def other_form(self, item: Any, error: Exception) -> Any:
        """See `StagePort`: arguments go by value, where that serves."""
        return call_by_value(item, error)

    # -- failures -----------------------------------------------------------------------------------------------

    def failed(self, failure: Failure, link: int, chunk: Chunk, may_retry: bool = True) -> Any:
        """A call has failed: it is tried again, as its options say, or its exception is its outcome."""
        assert chunk.origins is not None
        task = task_of(chunk.origins[0])
        failure = dataclasses.replace(failure, attempts=chunk.attempts + failure.attempts)
        if failure.kind == "WorkerLost":
            # It is the call's fault as far as anybody knows, and no reason to wait before the next worker is started.
            self.pool.deaths_in_a_row = 0
        if not task.wanted:
            return NO_RESULT
        options = task.options
        if may_retry and failure.attempts <= options.retries and not self.closed:
            self.retries += 1
            self._note(failure, False)
            seconds = (
                back_off(options.backoff, failure.attempts, self.context.uniform) if options.backoff else 0.0
            )
            return Retry(failure, seconds)
        self.failures += 1
        self._note(failure, True)
        return failure
