"""Messages: what deserves a line of its own while a run lasts, and the line at its end."""

from __future__ import annotations

from collections.abc import Callable

from ..base.events import CrashLoop, Event, FewerWorkers, ItemFailed, WorkerDied, WorkerStuck
from ..base.format import many, short
from ..report.report import Report
from ..report.text import summary

__all__ = ["Messages", "say_the_end"]

_TOLD = 20  # messages about single items; the rest is only counted


class Messages:
    """Says what deserves a line of its own, and stops when it has been enough.

    Args:
        name: of the pipeline.
        say: shows a line.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._told = 0

    def tell(self, event: Event) -> None:
        text = ""
        if isinstance(event, ItemFailed):
            failure = event.failure
            if failure.kind != "WorkerLost":  # that was told of with the worker's death
                item = short(failure.item, 80)
                why = short(str(failure), 300, quoted=False)
                text = f"{failure.stage}: item {failure.number:,} failed: {why}; the item: {item}"
        elif isinstance(event, WorkerDied):
            on = (
                "with no item"
                if event.number is None
                else f"on item {event.number:,}: {short(event.item, 80)}"
            )
            text = f"{event.stage}: worker {event.pid} {event.fate} {on}"
        elif isinstance(event, CrashLoop):
            text = f"giving up: {event.deaths} workers died one after another, and none finished an item"
        elif isinstance(event, FewerWorkers):
            text = f"no more than {many(event.workers, 'worker')} could be started: {event.error}"
        elif isinstance(event, WorkerStuck):
            text = f"worker {event.pid} did not leave within {event.seconds:g} s, and was killed"
        if text and self._told <= _TOLD:
            self._told += 1
            self._say(
                f"{self._name}: {text}"
                if self._told <= _TOLD
                else f"{self._name}: further ones are only counted"
            )


def say_the_end(report: Report, error: BaseException | None, say: Callable[[str], None]) -> None:
    """Say in a line what a run did, or what has stopped it."""
    if error is None:
        say(f"{report.name}: {summary(report)}. {report.bottleneck}")
    else:
        say(f"{report.name}: stopped by {type(error).__name__} after {summary(report)}")
