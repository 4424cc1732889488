"""Stages in this process and thread, for debuggers; and what a stage may hold, if somebody says so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from conveyor import Pipeline, PipelineError

DEBUGGED = """
from conveyor import Pipeline

def look(item):
    if item == 2:
        breakpoint()
    return item + 1

def main(**options):
    report = Pipeline([1, 2, 3]).map(look, workers=2, timeout=9, ordered=True).to(list).run(inline=True)
    print("result", report.result)

main()
"""


class Living:
    """Notes what happens to it, and where."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def setup(self) -> None:
        self.seen.append(("setup", threading.get_ident()))

    def __call__(self, item: int) -> int:
        self.seen.append((item, threading.get_ident()))
        return -item

    def teardown(self) -> None:
        self.seen.append(("teardown", threading.get_ident()))


def fails(item: int) -> int:
    raise ValueError(f"no {item}")


def where(_: Any) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def twice(item: int) -> Iterator[int]:
    yield item
    yield item


def test_it_is_this_process_and_thread() -> None:
    living = Living()
    report = Pipeline([1, 2, 3]).map(living, inline=True).flat_map(twice).to(list).run()
    assert report.result == [-1, -1, -2, -2, -3, -3]
    here = threading.get_ident()
    assert living.seen == [("setup", here), (1, here), (2, here), (3, here), ("teardown", here)]
    assert report.stages[1].kind == "inline"


def test_it_is_one_stage_among_others() -> None:
    pipeline = (
        Pipeline(range(200), ordered=True).map(abs, workers=1).map(where, inline=True).map(tuple, threads=2)
    )
    assert "in this process" in str(pipeline)
    assert pipeline.to(list).run().result == [(os.getpid(), threading.get_ident())] * 200


def test_the_debugger_stops_in_a_function_of_a_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEBUGGED],
        input="p 'item is', item\nwhere\ncontinue\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "('item is', 2)" in done.stdout
    assert "look(item)" in done.stdout or "in look" in done.stdout or "look()" in done.stdout
    assert done.stdout.rstrip().endswith("result [2, 3, 4]")


def test_what_it_raises_has_the_traceback_of_the_function() -> None:
    with pytest.raises(ValueError, match="no 1") as raised:
        Pipeline([1]).map(fails, inline=True).run()
    frames = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert frames[-1] == "fails"
    assert raised.value.__notes__


def test_retries_and_failures_are_as_everywhere() -> None:
    report = Pipeline([1, 2]).map(fails, inline=True, retries=2, backoff=0, on_error="dead_letter").run()
    assert [letter.attempts for letter in report.dead_letters] == [3, 3]
    assert report.retries == 4
    assert [one.kind for one in Pipeline([1]).map(fails, inline=True).stream(outcomes=True)] == ["ValueError"]


def test_its_worker_is_renewed_as_any_other() -> None:
    living = Living()
    report = Pipeline([1, 2, 3], ordered=True).map(living, inline=True, max_items_per_worker=2).to(list).run()
    assert report.result == [-1, -2, -3]
    assert [word for word, _ in living.seen] == ["setup", 1, 2, "teardown", "setup", 3, "teardown"]


def test_a_whole_run() -> None:
    pipeline = (
        Pipeline(range(4), ordered=True)
        .map(where, workers=2, timeout=5)
        .split(bool, {True: Pipeline().map(where, threads=2)})
        .merge()
        .map(tuple, workers=1)
        .to(set)
    )
    assert pipeline.run(inline=True).result == {(os.getpid(), threading.get_ident())}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": 3}, "has inline and timeout; what runs in this process cannot be stopped"),
        ({"setup_timeout": 3}, "has inline and setup_timeout; what runs"),
        ({"workers": 2}, "has inline and workers; only one of them says where it runs"),
        ({"executor": 2}, "has inline and executor; only one"),
        ({"max_in_flight": 0}, "max_in_flight of 'abs' is 0; it must be at least 1"),
        (
            {"max_in_flight": "many"},
            "max_in_flight of 'abs' is 'many'; it must be above 0, as in",
        ),
        ({"max_in_flight": "0MB"}, "max_in_flight of 'abs' is '0MB'; it must be"),
        ({"max_in_flight": 1.5}, "max_in_flight of 'abs' is 1.5; it must be an integer"),
    ],
)
def test_what_does_not_go_together(options: Any, error: str) -> None:
    with pytest.raises((PipelineError, TypeError), match=error):
        Pipeline([1]).map(abs, **{"inline": "max_in_flight" not in options, **options})


class Asked:
    """A source that counts what it has been asked for, and a stage that holds it up."""

    def __init__(self, size: int = 0) -> None:
        self.count = 0
        self.most = 0
        self.done = 0
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(60):
            self.count += 1
            self.most = max(self.most, self.count - self.done)
            yield bytes(self._size)

    def see(self, item: Any) -> None:
        self.done += 1


@pytest.mark.parametrize(
    ("bound", "size", "most"), [(1, 0, 1), (3, 0, 3), ("5MB", 1_000_000, 5), ("1MB", 3_000_000, 1)]
)
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("place", [{"workers": 2}, {"threads": 2}])
def test_a_stage_holds_no_more_than_it_may(
    place: Any, ordered: bool, bound: Any, size: int, most: int
) -> None:
    asked = Asked(size)
    pipeline = Pipeline(lambda: iter(asked), ordered=ordered).map(len, max_in_flight=bound, **place)
    report = pipeline.to(asked.see).run()
    assert report.stages[1].given == asked.done == 60
    # One more is fetched by the thread that reads the source, and a result on its way to the end is the end's. What an
    # item holds in bytes is gone when it has a result, though that waits for its turn.
    assert asked.most <= most + (3 if ordered and isinstance(bound, str) else 2)


def test_without_a_bound_a_stage_holds_many() -> None:
    asked = Asked()
    Pipeline(lambda: iter(asked)).map(len, threads=1).to(asked.see).run()
    assert asked.most > 5
