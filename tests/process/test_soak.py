"""Twenty seconds of `make soak`, which has two minutes: all at random, and a ledger of what became of each item."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "soak"


@pytest.mark.slow
def test_deaths_at_random_lose_nothing(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, SOAK, "--minutes", "0.35", "--json", told],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(told.read_text())
    # It was really hard on them.
    assert figures["kills"] > 30
    assert figures["items"] > 3_000
    assert figures["seen_again"] > 0
