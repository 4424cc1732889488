"""LineDisplay: plain lines, now and then, for where there is no terminal."""

from __future__ import annotations

from time import monotonic

from ..base.events import Event
from ..base.format import duration, short
from ..report.report import Report
from .callback import FunctionDisplay
from .display import Sample
from .messages import Messages, say_the_end
from .progress import Progress
from .rates import Rates

__all__ = ["LineDisplay"]

_LINE_SECONDS = 2.0
_NAME = 28  # columns


class LineDisplay(FunctionDisplay):
    """Plain lines, now and then, for where there is no terminal."""

    def __init__(self, name: str, sums_up: bool) -> None:
        super().__init__(self._print)
        self._name = name
        self._sums_up = sums_up
        self._printed = monotonic()
        self._messages = Messages(name, self.say)
        self._rates = Rates()

    def show(self, sample: Sample, event: Event) -> None:
        self._messages.tell(event)
        if monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = monotonic()
            self._print(sample())

    def _print(self, progress: Progress) -> None:
        self._rates.sample(progress)
        left = self._rates.left(progress)
        share = f" of {progress.total:,}" if progress.total is not None else ""
        if not share and progress.share is not None:
            share = f" ({progress.share:.0%} of the files)"
        parts: list[str] = []
        for stage in progress.stages[1:]:
            held = stage.waiting + stage.in_flight
            parts.append(
                (f"({held:,}) " if held else "") + f"{short(stage.name, _NAME, quoted=False)} {stage.given:,}"
            )
        failed = f", {progress.failures:,} failed" if progress.failures else ""
        taken = f"{progress.taken:,}{share} taken, {self._rates.of(0):,.0f}/s"
        text = f"{self._name}: {taken}, {progress.in_flight:,} in flight{failed}"
        if left is not None:
            text += f", about {duration(left, 2)} left"
        self.say(" → ".join([text, *parts]))

    def end(self, sample: Sample, report: Report, error: BaseException | None) -> None:
        if self._sums_up:
            say_the_end(report, error, self.say)
