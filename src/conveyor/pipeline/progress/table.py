"""TableDisplay: a table with a line for each stage, redrawn in place."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING

from ..base.events import Event
from ..base.format import duration, many
from ..report.report import Report
from .display import DRAW_SECONDS, Display, Sample
from .messages import Messages, say_the_end
from .notebook import NotebookCell
from .progress import Progress
from .rates import Rates

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

__all__ = ["TableDisplay"]

_BAR = 16
_NARROW = 90  # columns
_NAME = 28


class TableDisplay(Display):
    """A table with a line for each stage, redrawn in place."""

    draws = True

    def __init__(self, name: str, console: Console, sums_up: bool) -> None:
        self._name = name
        self._console = console
        self._sums_up = sums_up
        self._live: Live | NotebookCell | None = None
        self._at = 0.0
        self._messages = Messages(name, self.say)
        self._rates = Rates()

    def show(self, sample: Sample, event: Event) -> None:
        self._messages.tell(event)
        if monotonic() - self._at < DRAW_SECONDS:
            return
        self._at = monotonic()
        table = self._table(sample())
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

        self._rates.sample(progress)
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

    def end(self, sample: Sample, report: Report, error: BaseException | None) -> None:
        if self._live is not None:
            self._live.stop()
        if self._sums_up:
            say_the_end(report, error, self.say)


def _bar(progress: Progress, width: int) -> Text:
    """How much of the source has been taken, if that can be told."""
    from rich.text import Text

    bar = Text()
    share = progress.share
    if share is not None:
        full = int(share * width)
        bar.append("━" * full, "cyan")
        bar.append("─" * (width - full), "dim")
        bar.append(f" {share:4.0%}")
    return bar
