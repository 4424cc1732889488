"""TaskSource: calls that were submitted and that no worker has, as the source of an engine's run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ..pipeline.base.weight import weigh
from ..pipeline.operators.node import Origins
from ..pipeline.operators.source import SourceNode
from ..pipeline.supervise.engine_context import EngineContext
from .map_call import MapBlock
from .process_future import ProcessFuture

__all__ = ["TaskSource", "TaskSourceNode"]

_MOST_BYTES = 8 * 1024 * 1024


class TaskSource:
    """The calls that wait, first come first served; any thread may add some.

    Args:
        wake: called when there is something after there was nothing.
    """

    total: int | None = None
    """Nobody knows how many there will be."""
    fetching = False
    """Nothing is fetched."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._tasks: deque[ProcessFuture[Any] | MapBlock] = deque()
        self._count = 0
        self._lock = threading.Lock()
        self._wake = wake
        self._refusal: Callable[[], BaseException] | None = None

    def add(self, task: ProcessFuture[Any]) -> None:
        """Add a call; raises why none is taken any more."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            self._tasks.append(task)
            self._count += 1
        if self._count == 1:
            self._wake()

    def add_block(self, block: MapBlock) -> None:
        """Add calls of a `map`; raises why none is taken any more."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            had = self._count
            self._tasks.append(block)
            self._count += len(block)
        if not had:
            self._wake()

    def end(
        self, refusal: Callable[[], BaseException], drop: bool = False
    ) -> list[ProcessFuture[Any] | MapBlock]:
        """Take no more.

        Args:
            refusal: makes what is raised at who adds more.
            drop: take out what waits.

        Returns:
            What was taken out.
        """
        with self._lock:
            self._refusal = refusal
            dropped = list(self._tasks) if drop else []
            if drop:
                self._tasks.clear()
                self._count = 0
        self._wake()
        return dropped

    def begin(self, most: int) -> tuple[list[Any], list[Any]]:
        """Take out the first that are wanted, at most so many: their messages and their origins."""
        messages: list[Any] = []
        origins: list[Any] = []
        tasks = self._tasks
        with self._lock:
            while tasks and len(messages) < most:
                first = tasks[0]
                before = len(messages)
                if type(first) is MapBlock:
                    had = len(first)
                    some, whose = first.take(most - before)
                    self._count -= had - len(first)
                    messages += some
                    origins += whose
                    if not len(first):
                        tasks.popleft()
                else:
                    self._count -= ProcessFuture.begin_some(tasks, most - before, messages, origins)
        return messages, origins

    # -- as a source ------------------------------------------------------------------------------------------

    def fileno(self) -> None:
        """None: the engine is told."""

    def fill(self, want: int) -> None:
        """Nothing: it fills by itself."""

    @property
    def available(self) -> int:
        """Calls that wait."""
        return self._count

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come."""
        return self._refusal is not None and not self._count

    def take(self, limit: int) -> list[Any]:
        """Nothing: `begin` is for that."""
        return []

    def stop(self) -> None:
        """Nothing: what was submitted is kept, for somebody waits for it."""

    def close(self) -> None:
        """Nothing more is wanted."""


class TaskSourceNode(SourceNode):
    """Gives out messages, and what they are of as their origins.

    Args:
        source: the calls.
        context: the engine.
        lock: guards the states of futures.
    """

    def __init__(self, source: TaskSource, context: EngineContext, lock: Any) -> None:
        super().__init__(source, context, tracked=True, name="calls")
        self._tasks = source
        self._lock = lock

    def hand_out(self, most: int) -> tuple[list[Any], Origins]:
        """Begin some calls: those that nobody has cancelled."""
        if self._waited_since:
            self._wait(False)
        with self._lock:
            messages, origins = self._tasks.begin(most)
        if len(messages) > 1:
            portion = _MOST_BYTES * len(messages) // (weigh(messages) + 1)
            self._portion = max(min(portion, 4 * self._portion), 2)
        self.taken += len(messages)
        self.given += len(messages)
        return messages, origins

    @property
    def backlog(self) -> int:
        """Calls that wait."""
        return self._tasks.available

    def to_give(self) -> float:
        """Calls that wait: others may come, but no worker is started for them."""
        return self._tasks.available
