"""Progress: what a run shows while it lasts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from .events import CrashLoop, Event, FewerWorkers, ItemFailed, WorkerDied, WorkerStuck
from .node import Node
from .pipeline import Pipeline
from .report import Report
from .report_text import summary
from .words import duration, many
from .work_node import WorkNode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from .running import Running

__all__ = ["Display", "Progress", "StageProgress", "make_display"]

_DRAW_SECONDS = 0.1
_LINE_SECONDS = 2.0
_BAR = 16
_TOLD = 20  # messages about single items; the rest is only counted


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Where one stage is."""

    name: str
    taken: int
    given: int
    failures: int
    waiting: int
    """Items before it that no worker has."""
    in_flight: int
    workers: int
    """There now; 0: it needs none."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What a `progress` function is called with."""

    seconds: float
    taken: int
    """Items taken from the source."""
    total: int | None
    """Items that the source has, if that is known."""
    results: int
    """Values that came out at the end."""
    failures: int
    in_flight: int
    stages: tuple[StageProgress, ...]


class Display(Protocol):
    """Shows how far a run is."""

    def show(self, running: Running, event: Event) -> None:
        """Something happened, or time has passed."""
        ...

    def say(self, text: str) -> None:
        """Show a message."""
        ...

    def end(self, running: Running, report: Report, error: BaseException | None) -> None:
        """The run has ended."""
        ...


def look(running: Running) -> Progress:
    """Where a run is now."""
    engine = running.engine
    stages = tuple(_stage(node) for node in engine.nodes)
    taken = running.source.given + running.source.skipped
    return Progress(
        seconds=monotonic() - engine.began if engine.began else 0.0,
        taken=taken,
        total=running.source.source.total,
        results=sum(node.given for node in engine.nodes if node.outlet is None and not node.outlets()),
        failures=engine.failed,
        in_flight=engine.in_flight,
        stages=stages,
    )


def _stage(node: Node) -> StageProgress:
    if isinstance(node, WorkNode):
        return StageProgress(
            node.stage,
            node.taken,
            node.given,
            node.failures,
            node.waiting,
            node.in_flight,
            len(node.crew.hands),
            node.ended,
        )
    return StageProgress(node.stage, node.taken, node.given, 0, node.held, 0, 0, node.ended)


def make_display(progress: Any, pipeline: Pipeline[Any]) -> Display | None:
    """The display that a user means.

    Raises:
        TypeError: it is nothing that can be told.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        from rich.console import Console

        console = Console(stderr=True)
        return (
            _Live(pipeline.name, console)
            if console.is_terminal or console.is_jupyter
            else _Lines(pipeline.name)
        )
    if callable(getattr(progress, "update", None)):
        return _Bar(progress)
    if callable(progress):
        return _Told(progress)
    raise TypeError(
        f"progress is {progress!r:.60}; it must be True, False, a function, or an object with update() as of tqdm"
    )


class _Messages:
    """What deserves a line of its own, and when it has been enough."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._told = 0

    def tell(self, event: Event) -> None:
        text = ""
        if isinstance(event, ItemFailed):
            failure = event.failure
            text = f"{failure.stage}: item {failure.number:,} failed: {failure}: {failure.item!r:.80}"
        elif isinstance(event, WorkerDied):
            on = "with no item" if event.number is None else f"on item {event.number:,}: {event.item!r:.80}"
            was = "was " if event.exitcode < 0 else ""
            text = f"{event.stage}: worker {event.pid} {was}{event.reason} {on}"
        elif isinstance(event, CrashLoop):
            text = f"giving up: {event.deaths} workers died one after another"
        elif isinstance(event, FewerWorkers):
            text = f"no more than {event.workers} workers could be started: {event.error}"
        elif isinstance(event, WorkerStuck):
            text = f"worker {event.pid} did not leave within {event.seconds:g} s, and was killed"
        if text and self._told <= _TOLD:
            self._told += 1
            self._say(
                f"{self._name}: {text}"
                if self._told <= _TOLD
                else f"{self._name}: further ones are only counted"
            )


class _Told:
    """Calls a function."""

    def __init__(self, function: Callable[[Progress], object]) -> None:
        self._function = function
        self._at = 0.0

    def show(self, running: Running, event: Event) -> None:
        if monotonic() - self._at >= _DRAW_SECONDS:
            self._at = monotonic()
            self._function(look(running))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def end(self, running: Running, report: Report, error: BaseException | None) -> None:
        self._function(look(running))


class _Bar(_Told):
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


class _Lines(_Told):
    """Plain lines, now and then, for where there is no terminal."""

    def __init__(self, name: str) -> None:
        super().__init__(self._print)
        self._name = name
        self._printed = monotonic()
        self._messages = _Messages(name, self.say)

    def show(self, running: Running, event: Event) -> None:
        self._messages.tell(event)
        if monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = monotonic()
            self._print(look(running))

    def _print(self, progress: Progress) -> None:
        share = f" of {progress.total:,}" if progress.total is not None else ""
        rate = progress.taken / progress.seconds if progress.seconds else 0.0
        parts = [
            f"{stage.name} {stage.given:,}" + (f" ({stage.waiting:,} waiting)" if stage.waiting else "")
            for stage in progress.stages
            if stage.workers
        ]
        failed = f", {progress.failures:,} failed" if progress.failures else ""
        text = f"{self._name}: {progress.taken:,}{share} taken, {rate:,.0f}/s, {progress.in_flight:,} in flight{failed}"
        self.say(f"{text}; {' → '.join(parts)}" if parts else text)

    def end(self, running: Running, report: Report, error: BaseException | None) -> None:
        _print_end(report, error, self.say)


class _Live:
    """A table with a line for each stage, redrawn in place."""

    def __init__(self, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        self._live: Live | None = None
        self._at = 0.0
        self._messages = _Messages(name, self.say)

    def show(self, running: Running, event: Event) -> None:
        self._messages.tell(event)
        if monotonic() - self._at < _DRAW_SECONDS:
            return
        self._at = monotonic()
        if self._live is None:
            from rich.live import Live

            # What the program prints goes above the table if both are on the terminal, and where it always goes if not.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            )
            self._live.start()
        self._live.update(self._table(look(running)), refresh=True)

    def _table(self, progress: Progress) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for column in range(6):
            table.add_column(justify="left" if column in (0, 1) else "right", no_wrap=True)
        seconds = max(progress.seconds, 1e-9)
        share = progress.taken / progress.total if progress.total else None
        bar = Text()
        if share is not None:
            full = min(int(share * _BAR), _BAR)
            bar.append("━" * full, "cyan")
            bar.append("─" * (_BAR - full), "dim")
            bar.append(f" {share:4.0%}")
        most = max([stage.waiting + stage.in_flight for stage in progress.stages] + [1])
        for index, stage in enumerate(progress.stages):
            held = stage.waiting + stage.in_flight
            depth = (
                bar if index == 0 else Text("▪" * min(_BAR, -(-_BAR * held // most) if held else 0), "yellow")
            )
            failed = Text(f"{stage.failures:,} failed", "bold red") if stage.failures else Text("")
            table.add_row(
                Text(stage.name, "bold" if not stage.ended else "dim"),
                depth,
                f"{held:,} held" if held else "",
                f"{stage.given:,} out",
                f"{stage.given / seconds:,.0f}/s",
                Text.assemble(many(stage.workers, "worker") if stage.workers else "", "  ", failed),
            )
        table.add_row(duration(progress.seconds), "", f"{progress.in_flight:,} in flight", "", "", "")
        return table

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self, running: Running, report: Report, error: BaseException | None) -> None:
        if self._live is not None:
            self._live.stop()
        _print_end(report, error, self.say)


def _print_end(report: Report, error: BaseException | None, say: Callable[[str], None]) -> None:
    if error is None:
        say(f"{report.name}: {summary(report)}. {report.bottleneck}")
    else:
        say(f"{report.name}: stopped by {type(error).__name__} after {summary(report)}")
