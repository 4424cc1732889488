"""Images and tables: what arrives lies in the queue's memory, or is a copy, as docs/torch.md says."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from queue_memory import lies_in_a_queue, there_and_back


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


def test_arrow_tables() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow", reason="pyarrow is not installed: make test-torch")
    sent = pyarrow.table({"number": numpy.arange(20_000.0), "text": [f"row {i}" for i in range(20_000)]})
    received = there_and_back(sent)
    assert received.equals(sent)
    for column in received.columns:
        for buffer in column.chunk(0).buffers():
            assert buffer is None or lies_in_a_queue(buffer.address)
