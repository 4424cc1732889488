"""Pipelines for `conveyor run`, and as a script: `python pipelines.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from map_functions import gate

from conveyor import Pipeline

FOLDER = Path(os.environ.get("TEST_FOLDER", "."))


def double(item: int) -> int:
    return 2 * item


def fail(item: str) -> str:
    raise ValueError(f"no {item}")


def show(item: object) -> None:
    print(item, flush=True)


numbers = Pipeline(range(1000), name="numbers").map(double, workers=2).to(FOLDER / "out")
failing = Pipeline(["a", "b"], name="failing").map(fail, workers=1)
skipping = Pipeline(["a", "b"], name="skipping").map(fail, workers=1, on_error="skip")


def made() -> Pipeline[int]:
    return Pipeline(range(10)).map(double, workers=1)


def gated() -> Pipeline[str]:
    """`wait…` waits at the test's gate."""
    return Pipeline([f"wait{number}" for number in range(1, 100)], name="gated").map(gate, workers=2).to(show)


if __name__ == "__main__":
    report = gated().run(start_method=sys.argv[1])  # type: ignore[arg-type]
    print("interrupted by", report.interrupted, report.in_flight)
