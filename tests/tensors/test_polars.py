"""Frames and series of polars: those that arrive are those that were sent, and lie in the queue's memory."""

from __future__ import annotations

import datetime
import decimal
import importlib
import multiprocessing
import pickle
import sys
from typing import Any

import numpy
import pytest
from queue_memory import lent, lies_in_a_queue, there_and_back

import conveyor

polars: Any = pytest.importorskip("polars", reason="polars is not installed: make test-torch")
pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-torch")
# The first query makes what polars keeps, among it descriptors.
polars.DataFrame({"first": [1]}).with_columns(second=2)
COUNT = 20_000
LONG = "a text that is too long to lie beside its length, of row "

TYPES: dict[str, Any] = {
    **{
        str(dtype): polars.Series("x", numpy.arange(COUNT) % 100).cast(dtype)
        for dtype in (
            *(polars.Int8, polars.Int16, polars.Int32, polars.Int64, polars.Int128),
            *(polars.UInt8, polars.UInt16, polars.UInt32, polars.UInt64),
            *(polars.Float32, polars.Float64),
        )
    },
    "Date": polars.Series("x", numpy.arange(COUNT), dtype=polars.Int32).cast(polars.Date),
    "Time": polars.Series("x", [datetime.time(3, 4), None] * COUNT),
    "Datetime": polars.Series("x", numpy.arange(COUNT)).cast(polars.Datetime("ms")),
    "Datetime with a zone": polars.Series("x", numpy.arange(COUNT)).cast(
        polars.Datetime("ns", "Europe/Berlin")
    ),
    "Duration": polars.Series("x", numpy.arange(COUNT)).cast(polars.Duration("us")),
    "Decimal": polars.Series("x", [decimal.Decimal(3), None] * COUNT, dtype=polars.Decimal(20, 3)),
    "Boolean": polars.Series("x", [True, None, False] * 500_000),
    "Null": polars.Series("x", [None] * COUNT),
    "String": polars.Series("x", [f"{LONG}{number}" for number in range(COUNT)]),
    "short String": polars.Series("x", [str(number % 50) for number in range(COUNT)]),
    "Binary": polars.Series("x", [b"abc", None, b"a" * 50] * COUNT),
    "Categorical": polars.Series("x", ["a", "b", None] * 100_000).cast(polars.Categorical),
    "Enum": polars.Series("x", ["a", "b", None] * 100_000).cast(polars.Enum(["c", "b", "a"])),
    "List": polars.Series("x", [[None, 1], [], None, [2, 3, 4]] * COUNT),
    "List of Categorical": polars.Series("x", [["a"], [], None, ["b", "a"]] * COUNT).cast(
        polars.List(polars.Categorical)
    ),
    "Array": polars.Series("x", [[1, 2], None, [3, None]] * COUNT, dtype=polars.Array(polars.Int16, 2)),
    "Struct": polars.Series("x", [{"a": 1, "b": ["q"]}, None, {"a": None, "b": None}] * COUNT),
}


frames: Any = importlib.import_module("conveyor._memory.polars_frames")
LIMITS = frames._LEAST, frames._LEAST_COLUMN


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small frames go as large ones do."""
    monkeypatch.setattr(frames, "_LEAST", 1)
    monkeypatch.setattr(frames, "_LEAST_COLUMN", 1)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("form", ["whole", "slice", "chunks", "sorted"])
def test_types(name: str, form: str) -> None:
    series = TYPES[name]
    if form == "slice":
        series = series.slice(7, len(series) - 9)
    elif form == "chunks":
        series = polars.concat([series, series.slice(5, 100)], rechunk=False)
    elif form == "sorted":
        if name in ("Null", "List", "List of Categorical", "Array", "Struct"):
            return  # these are not sorted
        series = series.sort(descending=True)
    check_same(series, there_and_back(series))
    frame = polars.DataFrame([series, series.alias("y"), polars.Series("z", range(len(series)))])
    check_same(frame, there_and_back(frame))


def check_same(sent: Any, received: Any) -> None:
    """Types, names, elements, and what is known of their order."""
    assert type(received) is type(sent)
    assert received.equals(sent, null_equal=True)
    if isinstance(sent, polars.DataFrame):
        assert received.columns == sent.columns
        for one, other in zip(sent.get_columns(), received.get_columns(), strict=True):
            check_same(one, other)
    else:
        assert (received.dtype, received.name) == (sent.dtype, sent.name)
        for flag in ("SORTED_ASC", "SORTED_DESC"):
            assert received.flags[flag] == sent.flags[flag], flag


def test_it_lies_in_the_queues_memory_and_gives_it_back() -> None:
    queue: Any = conveyor.Queue()
    sent = polars.DataFrame({"number": TYPES["Float64"].cast(polars.Float64), "text": TYPES["String"]})
    queue.put(sent)
    received = queue.get(timeout=5)
    table = received.to_arrow(compat_level=polars.CompatLevel.newest())  # shows what is there
    for name, place in (("number", 1), ("text", 1), ("text", -1)):
        address = table[name].chunk(0).buffers()[place].address
        assert lies_in_a_queue(address), (name, place)
    del table
    numbers = received["number"][5:100]
    del received
    assert lent(queue) > 0, "a slice keeps it"
    assert numbers.sum() == sent["number"][5:100].sum()
    del numbers
    assert lent(queue) == 0


def test_what_is_done_to_it_stays_here() -> None:
    topic: Any = conveyor.Topic()
    first, second = topic.subscribe(), topic.subscribe()
    sent = polars.DataFrame({"number": numpy.arange(100_000.0)})
    topic.publish(sent)
    one, other = first.get(timeout=5), second.get(timeout=5)
    one[0, "number"] = 1e9
    one = one.with_columns(one["number"] * 2)
    assert other.equals(sent)
    assert one[1, "number"] == 2


@pytest.mark.parametrize("name", ["String", "Binary", "List", "Struct", "Int64"])
def test_a_few_rows_cost_no_more_than_they_are(name: str) -> None:
    whole = polars.concat([TYPES[name]] * 20).to_frame().with_columns(y=polars.lit(1.5))
    few = whole.slice(1000, 9000)
    queue: Any = conveyor.Queue()
    queue.put(few)
    assert queue.statistics().bytes_in <= 3 * len(pickle.dumps(few, 5))
    assert queue.get(timeout=5).equals(few)


def test_columns_without_an_arrow_type_go_beside_the_others() -> None:
    sent = polars.DataFrame(
        {
            "before": numpy.arange(COUNT),
            "wide": TYPES["Int128"],
            "after": numpy.arange(COUNT) / 2,
        }
    )
    received = there_and_back(sent)
    check_same(sent, received)
    assert lies_in_a_queue(received["after"].to_arrow().buffers()[1].address)


def add_up(frames: Any, sums: Any) -> None:
    for _ in range(20):
        frame = frames.get(timeout=20)
        sums.put(float(frame["number"].to_numpy().sum()) + len(frame["text"][-1]))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_other_processes(method: str) -> None:
    context = multiprocessing.get_context(method)
    frames: Any = conveyor.Queue()
    sums: Any = conveyor.Queue()
    process = context.Process(target=add_up, args=(frames, sums))
    process.start()
    sent = polars.DataFrame({"number": numpy.arange(COUNT), "text": TYPES["String"]})
    for _ in range(20):
        frames.put(sent)
        assert sums.get(timeout=30) == sum(range(COUNT)) + len(f"{LONG}{COUNT - 1}")
    process.join()
    assert process.exitcode == 0


def test_small_frames_and_many_columns_go_as_polars_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_LEAST", LIMITS[0])
    monkeypatch.setattr(frames, "_LEAST_COLUMN", LIMITS[1])
    monkeypatch.setattr(frames, "_table_of", lambda _: pytest.fail("it goes as Arrow"))
    for rows, columns in ((20_000, 1), (5_000, 60)):
        sent = polars.DataFrame({f"column {n}": numpy.arange(rows) for n in range(columns)})
        assert there_and_back(sent).equals(sent)


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_small_ones(rows: int) -> None:
    sent = polars.DataFrame({"a": numpy.arange(rows), "b": ["text"] * rows})
    check_same(sent, there_and_back(sent))
    check_same(sent["b"], there_and_back(sent["b"]))
    empty = there_and_back(polars.DataFrame())
    assert empty.shape == (0, 0)


def test_python_objects_are_polars_error() -> None:
    sent = polars.DataFrame({"number": numpy.arange(100_000)})
    sent = sent.with_columns(polars.Series("object", [object()] * 100_000, dtype=polars.Object))
    queue: Any = conveyor.Queue()
    with pytest.raises(polars.exceptions.ComputeError, match="Object"):
        queue.put(sent)
    assert queue.empty()


class Mine(polars.DataFrame):  # type: ignore[misc]
    """A subclass, which polars pickles."""


def test_a_subclass_stays_one() -> None:
    received = there_and_back(Mine({"number": numpy.arange(100_000)}))
    assert type(received) is Mine


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    reducers = importlib.import_module("conveyor._memory.reducers")
    for kind in (polars.DataFrame, polars.Series):
        monkeypatch.delitem(reducers.TABLE, kind, raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    sent = polars.DataFrame({"number": numpy.arange(100_000)})
    assert there_and_back(sent).equals(sent)
    assert polars.DataFrame not in reducers.TABLE


class DataFrame:
    """One of the program's own, that has only the name."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return DataFrame, (self.number,)


def test_another_class_of_that_name() -> None:
    assert there_and_back([DataFrame(5), {1, 2}])[0].number == 5
