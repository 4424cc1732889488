"""What a run is to do, once its options are known to make sense."""

from __future__ import annotations

from dataclasses import dataclass

from conveyor.bench.measurement import Workload

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The options of a run; a bound that is None is for the run to choose."""

    workloads: dict[str, Workload]
    bars: bool
    quick: bool
    thorough: bool
    """All rivals in every workload; else only where a bar is about the best of them."""
    rivals: tuple[str, ...]
    repeats: int
    seconds: float | None
    items: int | None
    budget: float
    hot: bool
