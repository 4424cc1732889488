"""Progress: what a run shows while it lasts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ..base.events import CrashLoop, Event, FewerWorkers, ItemFailed, WorkerDied, WorkerStuck
from ..base.format import duration, many, short
from ..operators.node import Node
from ..operators.source import SourceNode
from ..operators.work import WorkNode
from ..pipeline import Pipeline
from ..report.report import Report
from ..report.text import summary
from .notebook import NotebookCell
from .rates import Rates

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from ..pipeline_run import Running

__all__ = ["Display", "Progress", "StageProgress", "make_display"]

_DRAW_SECONDS = 0.1
_LINE_SECONDS = 2.0
_BAR = 16
_NARROW = 90  # columns
_NAME = 28
_TOLD = 20  # messages about single items; the rest is only counted


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Where one stage is."""

    name: str
    taken: int
    given: int
    failures: int
    waiting: int
    """Items before it, or in it, that no worker has."""
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
    before: dict[Node, int] = {}
    for node in engine.nodes:
        if not isinstance(node, SourceNode):
            for outlet in node.outlets():
                before[outlet] = before.get(outlet, 0) + _out(node)
    stages = tuple(_stage(node, before.get(node, 0)) for node in engine.nodes)
    taken = running.source.given + running.source.skipped
    return Progress(
        seconds=engine.now() - engine.began if engine.began else 0.0,
        taken=taken,
        total=running.source.source.total,
        results=sum(node.given for node in engine.nodes if node.outlet is None and not node.outlets()),
        failures=engine.failed,
        in_flight=engine.in_flight,
        stages=stages,
    )


def _out(node: Node) -> int:
    """Values that the node has made and nobody has taken: they wait before the next."""
    return int(Node.held.__get__(node))


def _stage(node: Node, before: int) -> StageProgress:
    if isinstance(node, WorkNode):
        busy, workers, failures = node.in_flight, len(node.crew.hands), node.failures
    else:
        busy = workers = failures = 0
    inside = 0 if isinstance(node, SourceNode) else node.held - _out(node)
    waiting = max(before + inside - busy, 0)
    return StageProgress(node.stage, node.taken, node.given, failures, waiting, busy, workers, node.ended)


def make_display(
    progress: Any, pipeline: Pipeline[Any], *, sums_up: bool = True, quiet: bool = False
) -> Display | None:
    """The display that a user means.

    Args:
        progress: as for `Pipeline.run`, or a display.
        pipeline: what is run.
        sums_up: with True: it says at the end what was done.
        quiet: failures and deaths are told even if `progress` is False.

    Raises:
        TypeError: it is nothing that can be told.
    """
    if isinstance(progress, _Told | _Live):
        return progress
    if progress is None or progress is False:
        return _Quiet(pipeline.name) if quiet else None
    if progress is True:
        from rich.console import Console

        console = Console(stderr=True)
        if (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter:
            return _Live(pipeline.name, console, sums_up)
        return _Lines(pipeline.name, sums_up)
    if isinstance(progress, type) and callable(getattr(progress, "update", None)):
        name = progress.__name__
        raise TypeError(
            f"progress is the class {name}; give a bar, which {name}() makes, as in progress={name}(total=n)"
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


class _Quiet(_Told):
    """Tells of failures and deaths only."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda _: None)
        self._messages = _Messages(name, self.say)

    def show(self, running: Running, event: Event) -> None:
        self._messages.tell(event)


class _Lines(_Told):
    """Plain lines, now and then, for where there is no terminal."""

    def __init__(self, name: str, sums_up: bool) -> None:
        super().__init__(self._print)
        self._name = name
        self._sums_up = sums_up
        self._printed = monotonic()
        self._messages = _Messages(name, self.say)
        self._rates = Rates()

    def show(self, running: Running, event: Event) -> None:
        self._messages.tell(event)
        if monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = monotonic()
            self._print(look(running))

    def _print(self, progress: Progress) -> None:
        self._rates.look(progress)
        left = self._rates.left(progress)
        share = f" of {progress.total:,}" if progress.total is not None else ""
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

    def end(self, running: Running, report: Report, error: BaseException | None) -> None:
        if self._sums_up:
            _print_end(report, error, self.say)


class _Live:
    """A table with a line for each stage, redrawn in place."""

    def __init__(self, name: str, console: Console, sums_up: bool) -> None:
        self._name = name
        self._console = console
        self._sums_up = sums_up
        self._live: Live | NotebookCell | None = None
        self._at = 0.0
        self._messages = _Messages(name, self.say)
        self._rates = Rates()

    def show(self, running: Running, event: Event) -> None:
        self._messages.tell(event)
        if monotonic() - self._at < _DRAW_SECONDS:
            return
        self._at = monotonic()
        table = self._table(look(running))
        if self._console.is_jupyter:
            self._live = self._live or NotebookCell()
        elif self._live is None:
            from rich.live import Live

            # What the program prints goes above the table if both are on the terminal, and where it always goes if not.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            )
            self._live.start()
        if isinstance(self._live, NotebookCell):
            self._live.update(table)
        else:
            self._live.update(table, refresh=True)

    def _table(self, progress: Progress) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        self._rates.look(progress)
        width = _BAR if self._console.width >= _NARROW else _BAR // 2
        table = Table.grid(padding=(0, 2))
        any_failed = any(stage.failures for stage in progress.stages)
        for column in range(7 if any_failed else 6):
            table.add_column(
                justify="left" if column in (0, 1) else "right",
                no_wrap=True,
                overflow="ellipsis",
                max_width=_NAME if column == 0 else None,
                ratio=1 if column == 0 else None,
            )
        most = max([stage.waiting + stage.in_flight for stage in progress.stages] + [1])
        for index, stage in enumerate(progress.stages):
            held = stage.waiting + stage.in_flight
            full = min(width, -(-width * held // most)) if held else 0
            depth = _bar(progress, width) if index == 0 else Text("▪" * full, "yellow")
            cells: list[Text | str] = [
                Text(stage.name, "dim" if stage.ended else "bold"),
                depth,
                f"{held:,} held" if held else "",
                f"{stage.given:,} out",
                f"{self._rates.of(index):,.0f}/s",
                many(stage.workers, "worker") if stage.workers else "",
            ]
            if any_failed:
                cells.append(Text(f"{stage.failures:,} failed", "bold red") if stage.failures else Text(""))
            table.add_row(*cells)
        left = self._rates.left(progress)
        head = Text.assemble(
            (self._name, "bold"),
            f"  {duration(progress.seconds, 2)}",
            f", about {duration(left, 2)} left" if left is not None else "",
            f", {progress.in_flight:,} in flight",
            no_wrap=True,
            overflow="ellipsis",
        )
        return Group(head, table)

    def say(self, text: str) -> None:
        if self._console.is_jupyter:
            print(text, file=sys.stderr, flush=True)
        else:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self, running: Running, report: Report, error: BaseException | None) -> None:
        if self._live is not None:
            self._live.stop()
        if self._sums_up:
            _print_end(report, error, self.say)


def _bar(progress: Progress, width: int) -> Text:
    """How much of the source has been taken, if that can be told."""
    from rich.text import Text

    bar = Text()
    if progress.total:
        share = min(progress.taken / progress.total, 1.0)
        full = int(share * width)
        bar.append("━" * full, "cyan")
        bar.append("─" * (width - full), "dim")
        bar.append(f" {share:4.0%}")
    return bar


def _print_end(report: Report, error: BaseException | None, say: Callable[[str], None]) -> None:
    if error is None:
        say(f"{report.name}: {summary(report)}. {report.bottleneck}")
    else:
        say(f"{report.name}: stopped by {type(error).__name__} after {summary(report)}")
