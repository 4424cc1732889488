"""What is measured besides transfer rates, each of it for a bar of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from conveyor.bench.backlog import SIZES, Backlog, measure_backlog
from conveyor.bench.codec import Codec, measure_codec
from conveyor.bench.creation import Creation, measure_creation
from conveyor.bench.idle import Idle, measure_idle
from conveyor.bench.memory import TOTAL_BYTES, Memory, measure_memory
from conveyor.bench.processes import MeasurementFailed
from conveyor.bench.start import Start, measure_start

__all__ = ["EXTRAS", "Extras"]

T = TypeVar("T")

EXTRAS = ("backlog", "idle", "codec", "memory", "creation", "start")
"""The names of the readings."""


@dataclass
class Extras:
    """What came of each; of what is None, `missing` may say why, by its name."""

    backlog: Backlog | None = None
    idle: Idle | None = None
    codec: Codec | None = None
    memory: Memory | None = None
    creation: Creation | None = None
    start: Start | None = None
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """A text that begins with "failed" is a failure of conveyor's."""

    def why(self, name: str) -> str:
        """Why there is no reading of that name."""
        return self.missing.get(name, "not measured")

    def measure(self, say: Callable[[str], None], *, quick: bool, repeats: int, arrays: str | None) -> None:
        """All of them, conveyor alone; `arrays` is why there can be none, if so."""
        rounds = min(3, repeats) if quick else repeats
        self.start = self._try("start", lambda: measure_start(say, rounds=rounds))
        self.creation = self._try("creation", lambda: measure_creation(say, rounds=rounds))
        rounds = min(5, rounds)
        self.codec = self._try(
            "codec", lambda: measure_codec(say, rounds=rounds, slice_ms=5.0 if quick else 15.0)
        )
        if arrays is None:
            total = TOTAL_BYTES // 4 if quick else TOTAL_BYTES
            self.memory = self._try("memory", lambda: measure_memory(say, total=total))
        else:
            self.missing["memory"] = f"skipped: {arrays}"
        largest = 1_000_000 if quick else SIZES[-1]
        self.backlog = self._try("backlog", lambda: measure_backlog(say, largest=largest, rounds=rounds))
        self.idle = self._try("idle", lambda: measure_idle(say, seconds=3.0 if quick else 10.0))

    def _try(self, name: str, measure: Callable[[], T]) -> T | None:
        try:
            return measure()
        except MeasurementFailed as error:
            self.missing[name] = f"failed: {error}"
            return None
