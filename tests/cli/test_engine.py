"""The engine under `map`, by its Python face: items and results of any type, and their troubles."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from conveyor.pipeline import LineSource
from conveyor.pipeline.run import GAP, Run
from conveyor.pipeline.window import Window


def triple(item: Any) -> Any:
    return (item, item, item)


def lock(item: Any) -> Any:
    return threading.Lock()


class Unreadable:
    def __reduce__(self) -> Any:
        return int, ("not a number",)


def unreadable(item: Any) -> Any:
    return Unreadable()


def fail(item: Any) -> Any:
    raise KeyError(item)


def outcome(mapper: Mapper) -> tuple[list[Any], list[ItemFailed]]:
    values: list[Any] = []
    failed: list[ItemFailed] = []
    for event in mapper.run():
        if isinstance(event, Results):
            values += event.values
        elif isinstance(event, ItemFailed):
            failed.append(event)
    return values, failed


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_items_and_results_of_any_type(method: str) -> None:
    items = [1, "a", None, (1, 2), {"k": [b"v"]}, frozenset({1}), 2.5, range(3)] * 50
    values, failed = outcome(Mapper(triple, IterableSource(items), workers=2, start_method=method))
    assert values == [(item, item, item) for item in items]
    assert not failed


def test_an_item_that_cannot_be_pickled_fails_alone() -> None:
    items = [1, threading.Lock(), 2]
    values, failed = outcome(Mapper(triple, IterableSource(items), workers=2))
    assert values == [(1, 1, 1), (2, 2, 2)]
    assert [event.number for event in failed] == [1]
    assert "cannot be pickled" in failed[0].failure.message


@pytest.mark.parametrize(("function", "says"), [(lock, "pickle"), (unreadable, "cannot be unpickled")])
def test_a_result_that_cannot_travel_fails_alone(function: Any, says: str) -> None:
    values, failed = outcome(Mapper(function, IterableSource([1, 2]), workers=1))
    assert not values
    assert [event.item for event in failed] == [1, 2]
    assert says in str(failed[0].failure)


def test_what_the_source_raises_comes_after_what_it_gave() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):
        for event in Mapper(triple, IterableSource(source()), workers=2).run():
            seen += event.values if isinstance(event, Results) else []
    assert seen == [(1, 1, 1), (2, 2, 2)]


def test_leaving_the_iteration_leaves_no_process() -> None:
    events = Mapper(triple, IterableSource(iter(int, 1)), workers=2).run()
    next(events)
    events.close()  # type: ignore[attr-defined]  # and the fixture of all tests looks for children


def test_report_adds_up() -> None:
    mapper = Mapper(fail, IterableSource(range(30)), workers=2)
    outcome(mapper)
    report = mapper.report()
    assert (report.taken, report.failed, report.done) == (30, 30, 0)
    assert report.workers == report.in_flight == report.not_begun == report.pending == 0


def test_drain_stops_an_endless_source() -> None:
    mapper = Mapper(triple, IterableSource(iter(int, 1)), workers=2)
    count = 0
    for event in mapper.run():
        if isinstance(event, Results):
            count += len(event.values)
            mapper.drain()
    report = mapper.report()
    assert report.done == count == report.taken - report.not_begun


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"halt": "later"}, "halt is 'later'"),
        ({"max_items": 0}, "max_items is 0"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mapper(triple, IterableSource([]), **{"workers": 1, **arguments})


class TestLineSource:
    @pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
    @pytest.mark.parametrize("text", [b"", b"\n", b"a", b"a\n", b"a\nbc\n\n\ndef", b"\n\nx\n"])
    def test_lines_whatever_the_blocks(self, text: bytes, block: int) -> None:
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        source = LineSource(read, block=block)
        lines: list[bytes] = []
        while not source.exhausted:
            source.fill()
            lines += source.take(2)
        while source.available:
            lines += source.take(2)
        os.close(read)
        assert lines == (text.removesuffix(b"\n").split(b"\n") if text else [])


class TestWindow:
    def test_order_is_restored_across_splits(self) -> None:
        window = Window(ordered=True, max_items=10, max_bytes=1000)
        run = Run(0, list("abcdef"))
        window.add(run)
        run.add(["A"], 0, 1)
        middle = window.split(run, 2)
        tail = window.split(middle, 4)
        tail.add(["E", "F"], 0, 2)
        assert window.release() == ["A"]
        middle.add(["C", GAP], 1, 1)
        assert window.release() == []
        assert window.pending == 4
        assert window.room == 4
        run.add(["B"], 0, 1)
        assert window.release() == ["B", "C", "E", "F"]
        assert (window.room, window.released, window.pending) == (10, 5, 0)

    def test_flush_goes_over_what_will_never_come(self) -> None:
        window = Window(ordered=True, max_items=10, max_bytes=1000)
        first, second = Run(0, ["a"]), Run(1, ["b"])
        window.add(first)
        window.add(second)
        second.add(["B"], 0, 1)
        assert window.release() == []
        assert window.flush() == ["B"]
        assert window.room == 10
