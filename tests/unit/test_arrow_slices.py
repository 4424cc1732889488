"""A slice of Arrow's data costs the slice, in all that it may be in."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow as pa
import pytest
from test_codecs_arrow import COLUMNS

import conveyor

MANY = 50_000
SHAPES: dict[str, Callable[[Any], Any]] = {
    "array": lambda array: array,
    "chunked": lambda array: pa.chunked_array([array, array]),
    "batch": lambda array: pa.record_batch({"x": array, "number": pa.array(range(len(array)))}),
    "table": lambda array: pa.table(
        {"x": array, "number": pa.array(range(len(array)))}
    ).replace_schema_metadata({"who": "somebody"}),
}


def through(item: Any) -> tuple[Any, int]:
    """What arrives, and how many bytes it had in the queue."""
    queue: Any = conveyor.Queue()
    queue.put(item)
    size = queue.statistics().bytes_in
    return queue.get(), size


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", COLUMNS)
def test_every_type(name: str, shape: str) -> None:
    column = COLUMNS[name]
    whole = SHAPES[shape](pa.concat_arrays([column] * (MANY // len(column))))
    for sent in (whole, whole.slice(MANY // 2 + 1, 10), whole.slice(3, 0)):
        received, _ = through({"first": sent, "second": 5})
        assert received["first"].equals(sent)
        assert type(received["first"]) is type(sent)
        received["first"].validate(full=True)
    if shape in ("batch", "table"):
        assert received["first"].schema.equals(whole.schema, check_metadata=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["integers", "booleans", "strings", "large strings", "bytes", "lists"])
def test_it_costs_the_slice(name: str, shape: str) -> None:
    column = COLUMNS[name]
    whole = SHAPES[shape](pa.concat_arrays([column] * (MANY * 20 // len(column))))
    received, size = through(whole.slice(MANY, 100))
    assert size < 20_000
    assert received.equals(whole.slice(MANY, 100))


def test_chunks_of_a_large_slice_lie_where_they_arrived() -> None:
    table = pa.table({"x": numpy.arange(1_000_000)})
    received, size = through(table.slice(500_000, 100_000))
    assert 800_000 <= size < 820_000
    assert received["x"].to_numpy().sum() == numpy.arange(500_000, 600_000).sum()


class Tagged(pa.ExtensionType):  # type: ignore[misc]
    """Nobody registers it."""

    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.tagged")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Tagged:
        return cls()


def test_types_of_the_programs_own_come_along() -> None:
    array = pa.ExtensionArray.from_storage(Tagged(), pa.array(range(MANY)))
    received, _ = through(pa.table({"x": array}).slice(7, 5))
    assert isinstance(received["x"].type, Tagged)


def produce(queue: Any) -> None:
    table = pa.table({"x": numpy.arange(1_000_000), "text": ["a", "b"] * 500_000})
    for number in range(20):
        queue.put(table.slice(number * 1000, 1000))


def test_between_processes_within_a_bound() -> None:
    queue: Any = conveyor.Queue(max_bytes=100_000)
    process = multiprocessing.get_context("fork").Process(target=produce, args=(queue,))
    process.start()
    for number in range(20):
        assert queue.get(timeout=30)["x"][0].as_py() == number * 1000
    process.join(30)
    assert process.exitcode == 0
