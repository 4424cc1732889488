"""The Python examples of docs/ run: each by itself, and without a word on standard error.

Those of the README are run by tests/unit/test_house.py, those of docs/torch.md, which need torch, by tests/tensors.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = sorted(Path(__file__).parents[2].glob("docs/*.md"))
EXAMPLES = [
    pytest.param(text, id=f"{document.stem}-{number}")
    for document in DOCUMENTS
    if document.name != "torch.md"
    for number, text in enumerate(
        re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
]


def test_there_are_some() -> None:
    assert len(EXAMPLES) > 25


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example(text: str, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
