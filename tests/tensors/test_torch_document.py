"""The examples of docs/torch.md run, and examples/train.py does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs" / "torch.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
pytest.importorskip("torch", reason="torch is not installed, which is some GB: make test-torch")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example(number: int, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(EXAMPLES[number], encoding="utf-8")
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_training() -> None:
    command = [sys.executable, ROOT / "examples" / "train.py", "--images", "640"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    shares = re.search(r"right at the end +([\d.]+)% +([\d.]+)%$", done.stdout, re.MULTILINE)
    assert shares is not None
    assert shares[1] == shares[2], "both loaders give the same batches"
