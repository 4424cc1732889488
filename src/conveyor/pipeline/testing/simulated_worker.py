"""SimulatedWorker: a worker of a simulated world, as the stage that owns it sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..supervise.handle import WorkerHandle
from ..supervise.stage_port import StagePort
from ..worker.messages import BROKEN, PART, STOP, STRANDED, TORN, is_stop, kind_of
from ..worker.serve import Job
from .agent import Agent, across, is_word
from .simulated_status_page import SimulatedStatusPage

if TYPE_CHECKING:
    from ..supervise.poller import Poller
    from .turns import Turns

__all__ = ["SimulatedWorker"]

_SIGKILL = -9
# What a worker says of itself, and of no item.
_OF_ITSELF = (BROKEN, STRANDED, TORN)
# What is waited for a process that has nothing left to do and does not leave; then it is killed.
_LEAVE_SECONDS = 5.0


class SimulatedWorker(WorkerHandle):
    """A worker that lives in a simulated world, in the way of a process or of a thread.

    Args:
        world: where it lives.
        owner: the stage.
        job: what the worker does.
        is_process: whether it is like a process: it may die, is killed at once, and is watched by the poller.
        tell: called with this worker when it has results, if it is no process.
    """

    def __init__(
        self,
        world: Turns,
        stage_port: StagePort,
        job: Job,
        is_process: bool,
        tell: Callable[[WorkerHandle], None],
    ) -> None:
        status_page = SimulatedStatusPage(world.now)
        super().__init__(stage_port, status_page)
        self._world = world
        self.tells_again = self.can_die = self._is_process = is_process
        self.pid = world.next_pid() if is_process else 0
        self._abandoned = False
        self.closed = False
        """Whether it was waited for, and let go of."""
        told = None if is_process else lambda: tell(self)
        self.agent = Agent(world, job, stage_port.stage, is_process, status_page, told)
        """Its own side."""
        self.channel = self.agent.results if is_process else None
        tokens: tuple[Any, Any] = world.tokens() if is_process else (self, self)
        self._results_token, self._death_token = tokens

    @property
    def token(self) -> Any:
        """What the engine is told when there are results."""
        return self._results_token

    @property
    def exitcode(self) -> int | None:
        """How it ended; None: it lives."""
        return self.agent.exitcode if self._is_process else 0

    def watch(self, poller: Poller) -> None:
        """Have the poller tell of its results and of its death."""
        if self._is_process:
            self._world.watched[self._results_token] = self.agent
            poller.add(self._results_token, self._death_token)

    def unwatch(self, poller: Poller) -> None:
        """It is gone."""
        if self._is_process:
            del self._world.watched[self._results_token]
            poller.remove(self._results_token, self._death_token)

    def listen(self, poller: Poller, wanted: bool) -> None:
        """Say to the poller whether its results are wanted now."""
        poller.listen(self._results_token, wanted)

    def may_be_gone(self, found: set[Any]) -> bool:
        """Whether the poller has told of its end."""
        return not self._is_process or self._death_token in found

    def last_words(self) -> str | None:
        """What it wrote before it ran any code of conveyor's; None: it has run some, or is no process."""
        return "" if self._is_process and not self.status_page.arrived else None

    # -- messages -----------------------------------------------------------------------------------------

    def _send(self, messages: list[Any]) -> None:
        self._world.interleave()
        if self._is_process:
            messages = [across(message) for message in messages]
        fits = self._world.fate.is_sent(len(messages)) if self._is_process else len(messages)
        if fits == len(messages) or is_stop(messages[0]):
            self.agent.tasks.extend(messages)
            self.agent.wake()
            return
        self.agent.tasks.extend(messages[:fits])
        if fits:
            self.agent.wake()
        error = MemoryError("there is no memory for it")
        error.items_put = fits  # type: ignore[attr-defined]
        raise error

    def _take(self) -> list[Any]:
        self._world.interleave()
        if self._abandoned or not self.agent.results:
            return []
        self._world.moved()
        messages = list(self.agent.results)
        self.agent.results.clear()
        if not self._is_process:
            parts = sum(kind_of(message) == PART for message in messages)
            if parts:
                self.agent.took_parts(parts)
        return messages

    def _recall(self) -> int:
        self._world.interleave()
        tasks = self.agent.tasks
        count = sum(not is_stop(message) for message in tasks)
        tasks.clear()
        if self._abandoned:
            tasks.append((STOP,))
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        self._world.interleave()
        return bool(self.agent.results)

    def has(self) -> int:
        """How many items it was given of which the engine has not taken the result."""
        agent = self.agent
        count = sum(not is_stop(message) for message in agent.tasks) + agent.holding
        next_is_part = self._part_next
        for message in agent.results:
            if next_is_part:
                next_is_part = False
            elif is_word(message):
                next_is_part = kind_of(message) == PART
            else:
                count += kind_of(message) not in _OF_ITSELF
        return count

    # -- its end --------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it at once; a thread is left behind."""
        self._world.interleave()
        if not self._is_process:
            self._abandoned = True
            self._recall()
        if not self.agent.ended:
            self._world.note(f"{self._stage_port.stage}: is killed")
            self.agent.end(_SIGKILL)

    def gone(self) -> bool:
        """Whether it has ended, or was left behind."""
        self._world.interleave()
        return self._abandoned or self.agent.ended

    def close(self) -> None:
        """Wait for the end of a worker that is ending."""
        world, agent = self._world, self.agent
        until = world.time + _LEAVE_SECONDS
        while not agent.ended:
            if agent.due > until:
                world.time = until
                agent.end(_SIGKILL)
                break
            world.time = max(world.time, agent.due)
            agent.act()
        self.closed = True
        super().close()
