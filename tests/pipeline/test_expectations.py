"""Every row of expectations.md has a test that is there, or a reason; and some of the tests."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import numpy
import pytest

from conveyor import Pipeline, ProcessPoolExecutor

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in (HERE / "expectations.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| expectation |", "|---"))
]


def names_in(path: Path) -> set[str]:
    """The tests and classes of a file, as pytest calls them."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
            within = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            found.update(f"{node.name}::{each.name}" for each in within)
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_row(row: list[str]) -> None:
    expectation, answer, test = row
    assert expectation
    if not test:
        assert answer.startswith("refused: "), "it has neither a test nor a reason"
        return
    match = re.fullmatch(r"`([\w/]+\.py)(?:::([\w:]+))?`", test)
    assert match, test
    path = ROOT / match[1] if "/" in match[1] else HERE / match[1]
    assert path.is_file(), path
    assert match[2] is None or match[2] in names_in(path)


def doubled(piece: Any) -> Any:
    return piece * 2


def test_an_array_in_pieces() -> None:
    whole = numpy.arange(1_000_000.0)
    pieces = numpy.array_split(whole, 7)
    report = Pipeline(pieces).map(doubled, workers=2, ordered=True).to(list).run()
    assert numpy.array_equal(numpy.concatenate(report.result), whole * 2)


class Pinned:
    """A worker on a processor of its own, as far as there are so many."""

    def setup(self, worker: Any) -> None:
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[worker.rank % len(mine)]})

    def __call__(self, number: int) -> frozenset[int]:
        return frozenset(os.sched_getaffinity(0))


def test_workers_pinned_to_processors() -> None:
    here = os.sched_getaffinity(0)
    found = Pipeline(range(200)).map(Pinned, workers=2).to(set).run().result
    assert all(len(each) == 1 and each <= here for each in found)
    assert os.sched_getaffinity(0) == here


def own_pid(_: Any) -> int:
    return os.getpid()


def test_one_call_in_a_process_of_its_own() -> None:
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(own_pid, None).result(timeout=30) != os.getpid()
