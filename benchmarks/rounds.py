"""Rounds: rivals measured in turn, medians and ratios, and the bars they are held to."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Bar:
    """What must be reached, and what was."""

    work: str
    required: str
    measured: str
    met: bool


class Run:
    """Measures, prints, and remembers.

    Args:
        rounds: how often each has its turn.
        quick: with fewer items.
        quiet: print nothing.
    """

    def __init__(self, rounds: int, quick: bool, quiet: bool) -> None:
        self.rounds = rounds
        self.quick = quick
        self._quiet = quiet
        self.bars: list[Bar] = []
        self.figures: dict[str, dict[str, float]] = {}

    def say(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)

    def measure(
        self, title: str, unit: str, rivals: dict[str, Callable[[], float]]
    ) -> dict[str, list[float]]:
        self.say(f"\n{title}")
        samples: dict[str, list[float]] = {name: [] for name in rivals}
        missing: set[str] = set()
        for _ in range(self.rounds):
            for name, work in rivals.items():
                if name in missing:
                    continue
                try:
                    samples[name].append(work())
                except ImportError as error:
                    missing.add(name)
                    self.say(f"  {name:<24} left out: {error}")
        for name, values in samples.items():
            if values:
                self.say(f"  {name:<24}{shown(statistics.median(values), unit)}")
        self.figures[title] = {name: statistics.median(values) for name, values in samples.items() if values}
        return samples

    def judge(self, work: str, required: str, measured: str, met: bool) -> None:
        self.bars.append(Bar(work, required, measured, met))
        self.say(f"  -> {work}: {measured}, required {required}: {'met' if met else 'NOT met'}")


def shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1e3:12.3f} ms" if value > 1e-3 else f"{value * 1e6:12.1f} us"
    return f"{value:12,.0f} {unit}" if value >= 100 else f"{value:12.2f} {unit}"


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
