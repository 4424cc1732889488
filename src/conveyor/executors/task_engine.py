"""TaskEngine: the engine of a pipeline of one stage that does calls, and that costs nothing while there are none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from multiprocessing import util
from typing import Any

from ..pipeline.base.failure import Failure
from ..pipeline.engine.engine import Engine
from ..pipeline.graph.stage import Stage, Where
from ..pipeline.host.hearing import Hearing
from ..pipeline.planning.briefing import brief_workers, voice_of
from ..pipeline.report.tally import Tally
from ..pipeline.snapshot.publisher import FIRST_SECONDS, Publisher

# Imported now and not when calls are first shown: an import in another thread makes a program that Ctrl-C ends forget
# that, and exit with 1 (dataclasses run text, and that clears CPython's mark).
from ..pipeline.snapshot.run_snapshot import RunSnapshot
from ..pipeline.supervise.handle import WorkerHandle
from ..pipeline.supervise.real_world import RealWorld
from ..pipeline.supervise.stage_port import StagePort
from ..pipeline.worker.serve import Job
from .settling_node import SettlingNode
from .task_call import TaskCall
from .task_node import TaskNode
from .task_source import TaskSource, TaskSourceNode

__all__ = ["TaskEngine"]

# While nothing is under way, what happens is told by descriptors: deaths, and new calls.
_IDLE_SECONDS = 3600.0


class TaskEngine(Engine):
    """An engine, and the calls that it makes.

    Args:
        max_workers: worker processes at most.
        start_method: how they are started; None: Python's default.
        initializer, initargs: what each calls first; None: nothing.
        max_tasks: calls after which a worker is replaced; None: it stays.
        lock: guards the states of futures.
        name: what others see it by; empty: its place.
        place: the line that made the executor.
    """

    def __init__(
        self,
        max_workers: int,
        start_method: str | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        lock: Any,
        name: str,
        place: str,
    ) -> None:
        super().__init__(
            world=RealWorld(start_method),
            jobs=max_workers,
            said=Hearing().hear,
            show=self._show_calls,
            show_after=FIRST_SECONDS,
        )
        self._tally = Tally()
        self._publisher = Publisher(name, place, 0, self._run_snapshot, "executor")
        self._is_seen = True
        # `_counts` when it was shown with no call under way.
        self._shown_at_rest: tuple[int, ...] | None = None
        spec = Stage(
            name="executor",
            kind="map",
            function=TaskCall(initializer, initargs),
            workers=max_workers,
            on_error="yield",
            max_items_per_worker=max_tasks,
        )
        self.tasks = TaskSource(self.poller.wake)
        """The calls that wait."""
        source = TaskSourceNode(self.tasks, self, lock)
        self.work = TaskNode(self, spec, max_workers, self._note)
        """Those that are being made."""
        end = SettlingNode("results")
        source.outlet, self.work.outlet = self.work, end
        self.work.inlets = end.inlets = 1
        self.work.feeder, end.feeder = source, self.work
        self.adopt([source, self.work, end])
        brief_workers(self.works, None, voice_of(start_method, True, False, False))

    @property
    def look_seconds(self) -> float:
        """How often it looks for itself at what it should be told of."""
        return _IDLE_SECONDS if self.work.is_empty else super().look_seconds

    @property
    def is_idle(self) -> bool:
        """Whether there is no call."""
        return self.work.is_empty and not self.tasks.available

    @property
    def rests(self) -> bool:
        """Whether there is no call, and that is what others see."""
        return self._shown_at_rest == self._counts() and self.is_idle

    def _counts(self) -> tuple[int, ...]:
        """What does not stay as it is when anything happens: a worker may die while there is no call, too."""
        return self.work.taken, self.work.pool.started, self.work.pool.deaths

    def _run_snapshot(self, about: dict[str, Any]) -> RunSnapshot:
        return RunSnapshot(self, self._tally, about)

    def _show_calls(self, now: float) -> float:
        at_rest = self._counts() if self.is_idle else None
        due = self._publisher.show(now)
        self._shown_at_rest = at_rest
        if due == math.inf:
            self._is_seen = False
            self._tally = Tally()
        return due

    def _note(self, failure: Failure, given_up: bool) -> None:
        if given_up:
            self.failed += 1
        else:
            self._tally.retried += 1
        if self._is_seen:
            # Of the message, the arguments are what people know it by.
            shown = dataclasses.replace(failure, item=failure.item[1])
            self._tally.groups.note(shown, given_up=given_up)

    def _end(self, last_call: util.Finalize) -> None:
        self._publisher.close()
        super()._end(last_call)

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """Start a worker, of which nothing is to be kept."""
        handle = super().start_worker(stage_port, job, where)
        handle.forget()
        return handle

    def get_ready(self) -> None:
        """Get ready to start processes, in the thread of the program's that submits the first call."""
        self.workforce.get_ready([self.work.job])
