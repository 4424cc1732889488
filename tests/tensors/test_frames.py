"""Images and tables: what arrives lies in the queue's memory, or is a copy, as docs/torch.md says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

import conveyor


def there_and_back(item: Any) -> Any:
    queue: Any = conveyor.Queue()
    queue.put(item)
    return queue.get(timeout=5)


def lies_in_a_queue(address: int) -> bool:
    """Whether an address is in memory that a queue has."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "conveyor" in line:
            first, _, end = line.split()[0].partition("-")
            if int(first, 16) <= address < int(end, 16):
                return True
    return False


def address_of(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def image() -> Any:
    return numpy.random.default_rng(5).integers(0, 256, (480, 640, 3), dtype=numpy.uint8)


def test_opencv_images() -> None:
    cv2: Any = pytest.importorskip("cv2", reason="opencv-python is not installed: make test-torch")
    sent = cv2.resize(image(), (320, 200))
    received = there_and_back({"frame": sent, "number": 3})["frame"]
    assert numpy.array_equal(sent, received)
    assert lies_in_a_queue(address_of(received))
    cv2.rectangle(received, (5, 5), (50, 50), (255, 0, 0))  # it may be drawn on


def test_pillow_images_are_copies() -> None:
    pillow: Any = pytest.importorskip("PIL.Image", reason="Pillow is not installed: make test-torch")
    sent = pillow.fromarray(image())
    received = there_and_back(sent)
    assert received == sent
    as_array = there_and_back(numpy.asarray(sent))  # and this is what is not copied
    assert lies_in_a_queue(address_of(as_array))


def test_pandas_frames() -> None:
    pandas: Any = pytest.importorskip("pandas", reason="pandas is not installed: make test-torch")
    count = 20_000
    sent = pandas.DataFrame(
        {
            "float": numpy.random.default_rng(5).random(count),
            "integer": numpy.arange(count),
            "date": pandas.date_range("2026-01-01", periods=count),
            "missing": pandas.array(range(count), dtype="Int64"),
            "kind": pandas.Categorical(["a", "b"] * (count // 2)),
        }
    )
    received = there_and_back(sent)
    assert received.equals(sent)
    for name in ("float", "integer", "date"):
        assert lies_in_a_queue(address_of(received[name].to_numpy())), name
    series = there_and_back(sent["float"])
    assert lies_in_a_queue(address_of(series.to_numpy()))


def test_polars_frames_are_copies_and_arrow_is_not() -> None:
    polars: Any = pytest.importorskip("polars", reason="polars is not installed: make test-torch")
    sent = polars.DataFrame({"number": numpy.arange(20_000.0), "text": [f"row {i}" for i in range(20_000)]})
    assert there_and_back(sent).equals(sent)
    table = there_and_back(sent.to_arrow())
    assert polars.from_arrow(table).equals(sent)
    assert lies_in_a_queue(table["number"].chunk(0).buffers()[1].address)


def test_arrow_tables() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-torch")
    sent = pyarrow.table({"number": numpy.arange(20_000.0), "text": [f"row {i}" for i in range(20_000)]})
    received = there_and_back(sent)
    assert received.equals(sent)
    for column in received.columns:
        for buffer in column.chunk(0).buffers():
            assert buffer is None or lies_in_a_queue(buffer.address)


JAX = """
import conveyor, jax
sent = jax.numpy.arange(100_000.0)
queue = conveyor.Queue()
queue.put([sent])
received = queue.get()[0]
assert isinstance(received, jax.Array) and bool((received == sent).all())
"""


def test_jax_arrays_are_copies() -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: make test-torch")
    # It has threads, and whoever forks beside it is warned.
    done = subprocess.run(
        [sys.executable, "-c", JAX], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
