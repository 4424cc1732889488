"""Two minutes of `make soak`: everything at random, and a ledger that says what became of each item."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "soak"


@pytest.mark.slow
def test_two_minutes_of_deaths_lose_nothing(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, SOAK, "--minutes", "2", "--json", told],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(told.read_text())
    # It was really hard on them.
    assert figures["kills"] > 300
    assert figures["items"] > 30_000
    assert figures["seen_again"] > 0
