"""Turns: virtual time, in which everybody acts in turn, and every turn is drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..worker.functions import PART_SIZE
from .fate import Fate
from .stuck import Stuck

__all__ = ["Actor", "Turns", "Watched"]

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


class Watched(Protocol):
    """A worker, as a poller sees it."""

    @property
    def results(self) -> Any:
        """What it has put and nobody has taken."""
        ...

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        ...


class Turns:
    """Who acts, and when.

    Args:
        fate: what chance decides.
        part_size: results of one item that a worker sends at a time.
        trace: keep what happens, in words.
    """

    def __init__(self, fate: Fate, *, part_size: int = PART_SIZE, trace: bool = False) -> None:
        self.fate = fate
        self.part_size = part_size
        self.time = _BEGIN
        """The time."""
        self.now: Callable[[], float] = lambda: self.time
        self.uniform: Callable[[float, float], float] = fate.uniform
        self.agents: list[Actor] = []
        """Who acts; those that are gone are not among them."""
        self.watched: dict[Any, Watched] = {}
        """The workers that a poller watches, by what it tells of their results."""
        self.checks: list[Callable[[], None]] = []
        """Called at every wait of the scheduler, when all that it knows should fit together."""
        self.acting: Actor | None = None
        """The worker that acts."""
        self.steps = 0
        """How often anybody acted."""
        self.trace: list[str] | None = [] if trace else None
        self._moved_at = self.time
        self._waits = 0
        self._pids = 0

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

    def next_pid(self) -> int:
        """The process id of a new worker."""
        self._pids += 1
        return _FIRST_PID + self._pids

    def tokens(self) -> tuple[int, int]:
        """What stands for the descriptors of a new worker: where results come, and what tells of its death."""
        first = _FIRST_TOKEN + 2 * self._pids
        return first, first + 1
