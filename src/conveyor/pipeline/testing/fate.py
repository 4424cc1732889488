"""Fate: all that is left to chance in a simulated world, drawn from one seed or as it is told."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from .death import ANY, Death, Moment

__all__ = ["Delay", "Fate"]

T = TypeVar("T")
Delay: TypeAlias = "float | tuple[float, float] | Callable[[str, Any], float]"

# Of workers that die by chance.
_ENDS = (-signal.SIGKILL, -signal.SIGSEGV, 3)
# A worker that is late is so by up to so many seconds, and once in a while by as many times more.
_LATE_SECONDS = 0.02
_VERY_LATE = 50


class Fate:
    """Decides who acts next, who dies when, and how long things take.

    Args:
        seed: of the choices.
        deaths: the share of moments at which a worker may die and does; or the deaths that are to be.
        delay: what an item takes in a function: seconds, the least and the most, or a function of the stage's name and
            the item that returns seconds.
        late: the share of a worker's steps that come later than they could.
        interleave: the share of the scheduler's own steps in the middle of which workers act.
        reorder: whether of several workers that could act next any may; else whoever could first.
        memory: the share of sends to a worker for which there is no memory.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        deaths: float | Sequence[Death] = 0.0,
        delay: Delay = (0.0, 0.01),
        late: float = 0.1,
        interleave: float = 0.2,
        reorder: bool = True,
        memory: float = 0.0,
    ) -> None:
        chance = random.Random(seed)
        self._random = chance.random
        self.uniform: Callable[[float, float], float] = chance.uniform
        self._deaths: dict[tuple[str, Moment], list[Death]] = {}
        self._death_rate = 0.0
        if isinstance(deaths, (int, float)):
            self._death_rate = float(deaths)
        else:
            for death in deaths:
                self._deaths.setdefault((death.stage, death.moment), []).append(death)
        self._met: dict[Death, int] = {}
        self._delay: tuple[float, float] | Callable[[str, Any], float]
        self._delay = (delay, delay) if isinstance(delay, (int, float)) else delay
        self._late = late
        self._interleave = interleave
        self._reorder = reorder
        self._memory = memory

    def choose(self, some: list[T]) -> T:
        """Who of several acts next."""
        if not self._reorder or len(some) == 1:
            return some[0]
        return some[int(self._random() * len(some))]

    def death(self, stage: str, moment: Moment, items: Sequence[Any]) -> int | None:
        """The exit code of a worker that dies at this moment; None: it lives.

        Args:
            stage: the name of its stage.
            moment: where it is.
            items: what it is at; empty: nothing.
        """
        if self._death_rate:
            if self._random() >= self._death_rate:
                return None
            # What ends by itself before it runs any code would do so again: the run gives up.
            return _ENDS[int(self._random() * (2 if moment == "start" else 3))]
        for death in self._deaths.get((stage, moment), ()):
            if death.item is not ANY and not any(item == death.item for item in items):
                continue
            self._met[death] = self._met.get(death, 0) + 1
            if self._met[death] == death.nth:
                return death.exitcode
        return None

    def seconds(self, stage: str, item: Any) -> float:
        """What an item takes in a stage."""
        delay = self._delay
        if callable(delay):
            return delay(stage, item)
        low, high = delay
        return low + self._random() * (high - low)

    def lateness(self) -> float:
        """By how many seconds a worker's next step comes later than it could."""
        if not self._late or self._random() >= self._late:
            return 0.0
        much = _VERY_LATE if self._random() < 0.1 else 1
        return _LATE_SECONDS * self._random() * much

    def interrupts(self) -> bool:
        """Whether workers act in the middle of a step of the scheduler."""
        return self._interleave > 0 and self._random() < self._interleave

    def stays(self) -> bool:
        """Whether the scheduler, of which something is wanted, is not there yet, and others act before it."""
        return self._late > 0 and self._random() < 0.3

    def is_sent(self, count: int) -> int:
        """How many of so many messages there is memory for."""
        if self._memory and self._random() < self._memory:
            return int(self._random() * count)
        return count
