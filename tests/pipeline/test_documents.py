"""The examples of docs/pipelines.md, docs/testing.md and docs/executors.md run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = [
    Path(__file__).parents[2] / "docs" / name for name in ("pipelines.md", "testing.md", "executors.md")
]
TEXT = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example(number: int, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(EXAMPLES[number], encoding="utf-8")
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
