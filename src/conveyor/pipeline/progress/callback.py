"""Displays that call something of the user's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..base.events import Event
from ..report.report import Report
from .display import DRAW_SECONDS, Display, Sample
from .messages import Messages
from .progress import Progress

__all__ = ["BarDisplay", "FunctionDisplay", "QuietDisplay"]


class FunctionDisplay(Display):
    """Calls a function."""

    def __init__(self, function: Callable[[Progress], object]) -> None:
        self._function = function
        self._at = 0.0

    def show(self, sample: Sample, event: Event) -> None:
        if monotonic() - self._at >= DRAW_SECONDS:
            self._at = monotonic()
            self._function(sample())

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def end(self, sample: Sample, report: Report, error: BaseException | None) -> None:
        self._function(sample())


class BarDisplay(FunctionDisplay):
    """Tells an object as of tqdm how many items more are through."""

    def __init__(self, bar: Any) -> None:
        super().__init__(self._update)
        self._bar = bar
        self._through = 0

    def _update(self, progress: Progress) -> None:
        if getattr(self._bar, "total", 0) is None and progress.total is not None:
            self._bar.total = progress.total
        through = progress.taken - progress.in_flight
        if through > self._through:
            self._bar.update(through - self._through)
            self._through = through


class QuietDisplay(FunctionDisplay):
    """Tells of failures and deaths only."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda _: None)
        self._messages = Messages(name, self.say)

    def show(self, sample: Sample, event: Event) -> None:
        self._messages.tell(event)
