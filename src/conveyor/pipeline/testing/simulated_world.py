"""SimulatedWorld: virtual time and workers without processes, for the true scheduler of a run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import NotSupported
from ..graph.stage import Where
from ..sources.source import IterableSource, Source
from ..supervise.handle import WorkerHandle
from ..supervise.stage_port import StagePort
from ..worker.functions import PART_SIZE
from ..worker.serve import Job
from .fate import Fate
from .simulated_poller import SimulatedPoller
from .simulated_source import SimulatedSource
from .simulated_worker import SimulatedWorker
from .stuck import Stuck

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Actor", "SimulatedWorld"]

# When the world begins: not at 0, which means "not yet" in more than one place.
_BEGIN = 1000.0
# A run in which nothing happens for so many seconds, and in so many waits, has nothing to wait for.
_STUCK_SECONDS = 300.0
_STUCK_WAITS = 400
# A scheduler that looks as often in so few seconds, and in vain, does not wait.
_BUSY_SECONDS = 0.05
_MOST_STEPS = 1_000_000
_NEVER = float("inf")
_FIRST_PID = 100
_FIRST_TOKEN = 1_000_000


class Actor(Protocol):
    """What acts in a simulated world."""

    due: float
    """When it acts next; infinity: when something comes."""

    def act(self) -> None:
        """Take the next step."""
        ...


class SimulatedWorld:
    """A `World` in which nothing happens but in turn, and in which every turn is drawn from a seed.

    The scheduler is the true one and so is what a worker does with an item; between them lie lists in the place of
    queues. Workers act while the scheduler waits, and, by chance, at any call that it makes to one of them. So what the
    scheduler sees is any of the orders in which processes could have done the same.

    Args:
        fate: what chance decides.
        part_size: results of one item that a worker sends at a time.
        source_pause: seconds from one item of the source to the next, at least and at most; None: a source that is no
            generator has all at once.
        trace: keep what happens, in words.
    """

    def __init__(
        self,
        fate: Fate,
        *,
        part_size: int = PART_SIZE,
        source_pause: tuple[float, float] | None = None,
        trace: bool = False,
    ) -> None:
        self.fate = fate
        self.part_size = part_size
        self.time = _BEGIN
        """The time."""
        self.now: Callable[[], float] = lambda: self.time
        self.uniform: Callable[[float, float], float] = fate.uniform
        self.agents: list[Actor] = []
        """Who acts; those that are gone are not among them."""
        self.workers: list[SimulatedWorker] = []
        """All workers that were started."""
        self.watched: dict[Any, Agent] = {}
        """The workers that a poller watches, by what it tells of their results."""
        self.checks: list[Callable[[], None]] = []
        """Called at every wait of the scheduler, when all that it knows should fit together."""
        self.acting: Agent | None = None
        """The worker that acts."""
        self.steps = 0
        """How often anybody acted."""
        self.trace: list[str] | None = [] if trace else None
        self._source_pause = source_pause
        self._moved_at = self.time
        self._waits = 0

    # -- as a `World` ------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Let time pass, and others act."""
        until = self.time + seconds
        while self.step(until):
            pass

    def spin(self, channels: list[Any], seconds: float) -> bool:
        """Whether one of these has something, within so many seconds."""
        until = self.time + seconds
        while not any(channels):
            if not self.step(until):
                return False
        return True

    def poller(self, outlet: int | None) -> SimulatedPoller:
        """What a run waits by."""
        if outlet is not None:
            raise NotSupported("a simulated run writes to no descriptor; iterate over its results")
        return SimulatedPoller(self)

    def workforce(
        self, tell: Callable[[WorkerHandle], None], failed: Callable[[BaseException], None]
    ) -> SimulatedWorld:
        """What starts the workers of a run: this world, which has one."""
        self._tell = tell
        return self

    def exit_cause(self, exitcode: int | None) -> str:
        """Nothing is known of what killed a worker."""
        return ""

    # -- as a `Workforce` ---------------------------------------------------------------------------------

    def get_ready(self, jobs: list[Job]) -> None:
        """Nothing is to be got ready."""

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> SimulatedWorker:
        """Start a worker."""
        if where == "coroutines":
            raise NotSupported(
                f"stage {stage_port.stage!r} is an async def, and a simulated world has no event loop; "
                "give a plain function that does the same, or run the pipeline with real workers"
            )
        self.moved()
        if where == "processes":
            job = self.copy_of(job, stage_port.stage)
        worker = SimulatedWorker(self, stage_port, job, where == "processes", self._tell)
        self.workers.append(worker)
        self.agents.append(worker.agent)
        return worker

    def source(self, given: Any, wake: Callable[[], None]) -> Source[Any]:
        """What reads from a pipeline's source: in turn with all else."""
        if isinstance(given, IterableSource):
            return given  # pyright: ignore[reportUnknownVariableType]
        if callable(given) and not hasattr(given, "__iter__"):
            given = given()
        if not hasattr(given, "__iter__") or hasattr(given, "get_many"):
            raise NotSupported(
                f"the source is a {type(given).__name__}, which a simulated world cannot read; give a list or a "
                "generator of the items that it would bring"
            )
        pause = self._source_pause
        if pause is None and isinstance(given, (list, tuple, range)):
            return IterableSource(given, self.now)  # pyright: ignore[reportUnknownArgumentType]
        low, high = pause or (0.0, 0.0)
        items: Any = given
        return SimulatedSource(self, items, wake, lambda: self.uniform(low, high))  # pyright: ignore[reportUnknownArgumentType]

    def end_processes(self) -> None:
        """Every worker was closed by the run."""

    def end_loop(self) -> None:
        """There is none."""

    # -- turns ---------------------------------------------------------------------------------------------

    def step(self, until: float) -> bool:
        """Let one act, if anyone does by then; else it is then. Returns whether one did."""
        time = self.time
        ready = [agent for agent in self.agents if agent.due <= time]
        if not ready:
            soonest = min([agent.due for agent in self.agents], default=until)
            if soonest >= until:
                self.time = max(until, time)
                return False
            self.time = soonest
            ready = [agent for agent in self.agents if agent.due <= soonest]
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise Stuck(f"the run took more than {_MOST_STEPS:,} steps")
        self.fate.choose(ready).act()
        return True

    def interleave(self) -> None:
        """The scheduler is in the middle of something: by chance, others act meanwhile."""
        fate = self.fate
        while fate.interrupts() and self.step(self.time + 1e-9):
            pass

    def moved(self) -> None:
        """Something has happened that the scheduler may have waited for."""
        self._moved_at = self.time
        self._waits = 0

    def note(self, text: str) -> None:
        """Put something into the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.time - _BEGIN:10.6f}  {text}")

    def look(self) -> None:
        """The scheduler waits: see that all fits together, and that there is something to wait for."""
        for check in self.checks:
            check()
        self._waits += 1
        if self._waits > _STUCK_WAITS:
            seconds = self.time - self._moved_at
            if seconds > _STUCK_SECONDS and all(agent.due == _NEVER for agent in self.agents):
                raise Stuck(f"nothing has happened for {seconds:.0f} s, and nothing will")
            if seconds < _BUSY_SECONDS:
                raise Stuck(
                    f"the scheduler has looked {self._waits} times in {seconds:.3f} s, and nothing had happened"
                )

    # -- workers -------------------------------------------------------------------------------------------

    def next_pid(self) -> int:
        """The process id of a new worker."""
        return _FIRST_PID + len(self.workers)

    def tokens(self) -> tuple[int, int]:
        """What stands for the descriptors of a new worker: where results come, and what tells of its death."""
        first = _FIRST_TOKEN + 2 * len(self.workers)
        return first, first + 1

    def copy_of(self, job: Job, stage: str) -> Job:
        """A job as a process gets it: what has state is a copy."""
        try:
            return copy.deepcopy(job)
        except Exception as error:
            raise NotSupported(
                f"the function of stage {stage!r} cannot be copied ({type(error).__name__}: {error}), as it is for "
                "each process; give a class, of which each worker makes an object"
            ) from error
