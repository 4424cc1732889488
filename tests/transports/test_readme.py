"""The README's program with a URL for a queue, on every transport that other processes reach."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
URL = "amqp://guest:guest@localhost/jobs"
BLOCKS = re.findall(r"^```py\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
(PROGRAM,) = (block for block in BLOCKS if URL in block)


@pytest.mark.needs("processes")
def test_the_same_program(url: str, tmp_path: Path) -> None:
    assert PROGRAM.count(URL) == 1
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace(URL, url))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split(), done.stderr, done.returncode) == (["0", "1", "2", "3", "4"], "", 0)
