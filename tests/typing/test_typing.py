"""The examples under mypy and pyright: both accept every line but those that end in `# wrong`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.py"))

Errors = dict[int, str]


def expected(path: Path) -> set[int]:
    return {
        number
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.rstrip().endswith("# wrong")
    }


def mypy_errors(paths: list[Path]) -> dict[Path, Errors]:
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    found: dict[Path, Errors] = {path: {} for path in paths}
    for line in run.stdout.splitlines():
        match = re.match(r"(?P<path>[^:]+):(?P<line>\d+): error: (?P<text>.*)", line)
        if match:
            found.setdefault((ROOT / match["path"]).resolve(), {})[int(match["line"])] = match["text"]
    return found


def pyright_errors(paths: list[Path]) -> dict[Path, Errors]:
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    found: dict[Path, Errors] = {path: {} for path in paths}
    for diagnostic in json.loads(run.stdout)["generalDiagnostics"]:
        if diagnostic["severity"] == "error":
            line = diagnostic["range"]["start"]["line"] + 1
            found.setdefault(Path(diagnostic["file"]).resolve(), {})[line] = diagnostic["message"]
    return found


@pytest.mark.parametrize("checker", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])
def test_the_checker_finds_the_wrong_lines_and_no_others(checker: object) -> None:
    assert callable(checker)
    found: dict[Path, Errors] = checker(EXAMPLES)
    for path in EXAMPLES:
        surprising = {line: text for line, text in found[path].items() if line not in expected(path)}
        assert not surprising, path.name
        assert not expected(path) - found[path].keys(), f"{path.name}: these lines should have been refused"


def test_a_generic_queue_can_be_made() -> None:
    from conveyor import JoinableQueue, Queue, SimpleQueue

    for kind in (Queue, JoinableQueue, SimpleQueue):
        queue = kind[int]()
        queue.put(1)
        assert queue.get() == 1
        queue.close()
