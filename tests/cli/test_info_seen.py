"""`conveyor info WORD`: what has no name is found by what people know of it."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

import conveyor
from conveyor.inspection import survey


@pytest.fixture
def label() -> str:
    return f"seen-{os.getpid()}"


def test_by_label_place_and_id(run: Any, label: str) -> None:
    queue: conveyor.Queue[int] = conveyor.Queue(9, label=label)
    queue.put_many(range(3))
    [view] = survey().find(label)
    for word in (label, view.place, view.id):
        done = run("info", word)
        assert done.code == 0, done.err
        assert done.lines[0].split() == [label, "queue"]
        assert any("3 items" in line and "of 9 items" in line for line in done.lines)
    seen = json.loads(run("info", "--json", label).out)
    assert seen["figures"]["depth"] == 3
    assert seen["rates"]["at_least"] is True


def test_several_are_listed(run: Any, label: str) -> None:
    queues: list[conveyor.Queue[int]] = [conveyor.Queue(label=label) for _ in range(2)]
    ids = {view.id for view in survey().find(label)}
    done = run("info", label)
    assert {line.split()[0] for line in done.lines} == ids
    assert len(ids) == len(queues)
    assert ids <= {line.split()[0] for line in run("info", str(os.getpid())).lines}


def test_nothing_is_found(run: Any) -> None:
    done = run("info", "no-such-thing")
    assert (done.code, done.out) == (3, "")
    assert "'no-such-thing'" in done.err
