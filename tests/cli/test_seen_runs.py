"""A pipeline that runs, in `conveyor ls` and in the metrics."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

PROGRAM = """
import sys
from conveyor import Pipeline

def work(value):
    if value % 10 == 0:
        raise ValueError(value)
    return value

def numbers():
    yield from range(100)
    sys.stdin.readline()

if __name__ == "__main__":
    Pipeline(numbers(), name="shown in lists").map(work, threads=1, name="work", on_error="skip").run()
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, file], stdin=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def said(*words: str) -> str:
    return subprocess.check_output([sys.executable, "-m", "conveyor", *words], text=True, timeout=60)


def test_a_run_is_listed_and_measured(run: subprocess.Popen[str]) -> None:
    def row() -> dict[str, Any] | None:
        rows = (json.loads(line) for line in said("ls", "--json").splitlines())
        return next(
            (each for each in rows if each["users"] == [run.pid] and each["kind"] == "pipeline"), None
        )

    end = time.monotonic() + 60
    while (found := row()) is None:
        assert time.monotonic() < end
    assert found["title"] == "shown in lists"
    assert found["memory"] > 1 << 20

    def figures() -> dict[str, float]:
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(said("metrics"))
            for sample in family.samples
            if sample.labels.get("pid") == str(run.pid) and sample.labels.get("stage") == "work"
        }

    while (told := figures()).get("conveyor_stage_items_taken_total") != 100:
        assert time.monotonic() < end, told
    assert told["conveyor_stage_failures_total"] == 10
    assert told["conveyor_stage_workers"] == 1
