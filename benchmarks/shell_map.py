"""`conveyor map --shell` beside GNU parallel and xargs: a command for each line, two at a time.

`true` needs no shell, and is the least that a program can take; with `true; :` each tool has a shell read the command,
as xargs does only if it is told to. Each tool has its turn in each round. Seconds: median and worst.

    .venv/bin/python benchmarks/shell_map.py [--quick] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rounds import Bar

LINES, QUICK_LINES = 5_000, 500
JOBS = "2"
DIRECT, BY_SHELL = "true", "true; :"


def commands(work: str) -> dict[str, list[str]]:
    """The rivals that are installed, as their manuals have it."""
    conveyor = [str(Path(sys.executable).with_name("conveyor")), "map", "-j", JOBS]
    found = {
        "conveyor map": [*conveyor, "--shell", work],
        "xargs": ["xargs", "-P", JOBS, "-n", "1", *(["true"] if work == DIRECT else ["sh", "-c", work])],
        "GNU parallel": ["parallel", "--will-cite", "-j", JOBS, work],
    }
    return {name: words for name, words in found.items() if shutil.which(words[0])}


def seconds_of(words: list[str], lines: Path) -> float:
    with lines.open("rb") as items:
        began = time.perf_counter()
        done = subprocess.run(
            words, stdin=items, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{words[0]} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return took


def measure(
    rounds: int = 5, quick: bool = False, works: tuple[str, ...] = (DIRECT,)
) -> dict[str, dict[str, list[float]]]:
    """Seconds that each tool took in each round, by work and by tool.

    Args:
        rounds: how often each has its turn.
        quick: with a tenth of the lines.
        works: the commands.
    """
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        lines.write_text("".join(f"{number}\n" for number in range(QUICK_LINES if quick else LINES)))
        for work in works:
            rivals = commands(work)
            figures[work] = {name: [] for name in rivals}
            for _ in range(rounds):
                for name, words in rivals.items():
                    figures[work][name].append(seconds_of(words, lines))
    return figures


def bars(figures: dict[str, dict[str, list[float]]]) -> list[Bar]:
    """What was required of `true`, and what was measured."""
    medians = {name: statistics.median(seconds) for name, seconds in figures[DIRECT].items()}
    ours = medians["conveyor map"]
    return [
        Bar(
            f"conveyor map --shell true, {LINES:,} lines, to {name}",
            f">= {least}x",
            f"{ratio:.2f}x",
            ratio >= least,
        )
        for name, least in (("GNU parallel", 1.5), ("xargs", 0.9))
        if name in medians
        for ratio in (medians[name] / ours,)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.rounds, options.quick, (DIRECT, BY_SHELL))
    if options.json:
        print(json.dumps(figures))
        return
    for work, tools in figures.items():
        print(f"\n{work}")
        for name, seconds in tools.items():
            print(f"  {name:<14}{statistics.median(seconds):7.2f} s, worst {max(seconds):.2f} s")
    for bar in bars(figures):
        print(f"{'met' if bar.met else 'NOT MET'}: {bar.work}: {bar.measured} (required: {bar.required})")


if __name__ == "__main__":
    main()
