"""Counts the tokens of Python's whole standard library, on all cores, and prints a table.

    python examples/stdlib_tokens.py            # every file through examples/token_counts.py
    python examples/stdlib_tokens.py --check    # the same in one plain loop too: equal, and how much slower?
    conveyor run examples/stdlib_tokens.py:pipeline -j 2

Files that cannot be tokenized (the library's tests have some on purpose) are counted and named.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from token_counts import count

from conveyor import Failure, Pipeline
from conveyor.cli.jobs import count_jobs


@dataclass
class Totals:
    """What was counted."""

    tokens: Counter[str] = field(default_factory=Counter)
    files: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, types: dict[str, int]) -> None:
        """Add the counts of one file."""
        self.files += 1
        self.tokens.update(types)

    def same_counts(self, other: Totals) -> bool:
        """Whether the other one counted the same in the same files."""
        return (self.tokens, self.files, self.failed.keys()) == (
            other.tokens,
            other.files,
            other.failed.keys(),
        )


def library_files() -> list[str]:
    """Every `.py` file of the running Python's standard library, without installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages"}
    return [
        str(path) for path in sorted(root.rglob("*.py")) if not skipped & set(path.parts[len(root.parts) :])
    ]


def pipeline(paths: list[str] | None = None, totals: Totals | None = None) -> Pipeline[dict[str, int]]:
    """These files, or the whole library's, counted into `totals`."""
    into = totals or Totals()

    def failed(failure: Failure) -> None:
        into.failed[failure.item] = str(failure)

    files = library_files() if paths is None else paths
    return Pipeline(files, name="tokens").map(count, on_error=failed).to(into.add)


def in_parallel(paths: list[str], workers: int) -> Totals:
    """Count with conveyor's workers."""
    totals = Totals()
    totals.seconds = pipeline(paths, totals).run(jobs=workers, progress=True).seconds
    return totals


def in_a_loop(paths: list[str]) -> Totals:
    """Count as anybody would without conveyor."""
    totals = Totals()
    start = time.perf_counter()
    for path in paths:
        try:
            totals.add(count(path))
        except Exception as error:
            totals.failed[path] = f"{type(error).__name__}: {error}"
    totals.seconds = time.perf_counter() - start
    return totals


def print_summary(totals: Totals, paths: list[str], workers: int, console: Console) -> None:
    """Print what was counted, and how fast."""
    size = sum(Path(path).stat().st_size for path in paths)
    every = totals.tokens.total()
    console.print(f"Tokens of Python {sys.version.split()[0]}'s standard library", style="bold")
    table = Table()
    table.add_column("type")
    table.add_column("tokens", justify="right")
    table.add_column("share", justify="right")
    for name, times in totals.tokens.most_common():
        table.add_row(name, f"{times:,}", f"{times / every:.1%}" if every else "")
    table.add_section()
    table.add_row("all", f"{every:,}", "100.0%" if every else "", style="bold")
    console.print(table)
    megabytes = size / 1e6
    console.print(
        f"{len(paths):,} files, {megabytes:,.1f} MB in {totals.seconds:.2f} s with {workers} "
        f"worker{'' if workers == 1 else 's'}: {len(paths) / totals.seconds:,.0f} files/s, "
        f"{megabytes / totals.seconds:.1f} MB/s, {every / totals.seconds:,.0f} tokens/s"
    )
    if totals.failed:
        console.print(f"{len(totals.failed)} of them cannot be tokenized:")
        for path, why in sorted(totals.failed.items()):
            console.print(
                f"  {Path(path).name}: {why}", style="dim", markup=False, no_wrap=True, overflow="ellipsis"
            )


def main() -> int:
    """Run it; returns the exit code: 1 if --check finds a difference."""
    parser = argparse.ArgumentParser(description="Count the tokens of Python's standard library.")
    parser.add_argument("-j", "--jobs", default="100%", help="worker processes: 4, or 50%% of the processors")
    parser.add_argument("--check", action="store_true", help="count in one plain loop too, and compare")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N files")
    options = parser.parse_args()
    try:
        workers = count_jobs(options.jobs)
    except ValueError as error:
        parser.error(f"--jobs is {error}")
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    paths = library_files()[: options.limit]
    if not paths:
        console.print(f"No .py files under {sysconfig.get_path('stdlib')}: its library is packed or missing.")
        return 1
    totals = in_parallel(paths, workers)
    print_summary(totals, paths, workers, console)
    if not options.check:
        return 0
    plain = in_a_loop(paths)
    speedup = plain.seconds / totals.seconds
    if totals.same_counts(plain):
        console.print(
            f"One plain loop counts the same, in {plain.seconds:.2f} s: {speedup:.2f} times as long."
        )
        return 0
    console.print(
        f"One plain loop counts otherwise: {plain.tokens.total():,} tokens in {plain.files:,} files."
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
