"""Clock: the time, and chance, as a worker and its scheduler see them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["SYSTEM", "Clock", "SystemClock"]


class Clock(Protocol):
    """What passes time and draws lots. Its members are functions, to be had once and called often."""

    @property
    def now(self) -> Callable[[], float]:
        """Seconds, of no particular beginning, that never go back: `time.monotonic`, or what stands in for it."""
        ...

    @property
    def uniform(self) -> Callable[[float, float], float]:
        """A number drawn between two others, as `random.uniform`."""
        ...

    @property
    def sleep(self) -> Callable[[float], None]:
        """Wait for so many seconds."""
        ...


class SystemClock:
    """The clock of the machine. Its attributes are the functions themselves: a call costs what it costs directly."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.monotonic
        self.uniform: Callable[[float, float], float] = random.uniform
        self.sleep: Callable[[float], None] = time.sleep


SYSTEM: Clock = SystemClock()
