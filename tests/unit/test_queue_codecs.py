"""Queue(codec=...): the codec makes the bytes, the queue carries them, and nobody misreads them."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import conveyor
from conveyor.errors import CodecMismatch

MIB = 1 << 20
JSON = {"a": [1, 2.5, None, True, "text", "ü"], "b": {}}


class Parts:
    """Buffers as they are given, the item itself in the header; what it makes of them is what came."""

    name = "parts"

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def dumps(self, obj: Any) -> tuple[bytes, list[Any]]:
        header, buffers = obj
        return header, buffers

    def loads(self, header: memoryview, buffers: list[memoryview]) -> Any:
        self.kept.append(header[:])
        return bytes(header), buffers


class Writer:
    """Fills the view that it is given; `wrong` is raised half-way."""

    def __init__(self, content: bytes, wrong: BaseException | None = None) -> None:
        self.content, self.wrong = content, wrong
        self.nbytes = len(content)
        self.kept: Any = None

    def write_into(self, view: memoryview) -> None:
        assert view.nbytes == self.nbytes
        assert not view.readonly
        view[: self.nbytes // 2] = self.content[: self.nbytes // 2]
        if self.wrong is not None:
            raise self.wrong
        view[:] = self.content
        self.kept = view[:1]


@pytest.fixture
def name() -> Iterator[str]:
    url = f"shm://test-codec-{uuid.uuid4().hex}"
    yield url
    conveyor.remove(url)


@pytest.mark.parametrize(
    ("codec", "item"), [("json", JSON), ("msgpack", JSON), ("pickle", {1, (2, 3)}), ("auto", 5)]
)
@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue])
def test_shipped(kind: Any, codec: str, item: Any) -> None:
    queue = kind(codec=codec)
    for _ in range(3):
        queue.put(item)
        queue.put_many([item, item])
    assert queue.get() == item
    assert queue.get_many(100) == [item] * 8
    assert queue._check() == ""


@pytest.mark.parametrize("size", [0, 5, 1000, 16 * 1024, 100_000, 3 * MIB])
def test_raw(size: int) -> None:
    queue: Any = conveyor.Queue(codec="raw")
    item = bytes(range(256)) * (size // 256 + 1)
    queue.put(item[:size])
    received = queue.get()
    assert received == item[:size]
    assert not received.readonly
    assert (queue.statistics().memory_lent > 0) == (size >= 100_000)
    del received
    assert queue._check() == ""


def test_arrow_lies_in_the_queues_memory() -> None:
    arrow = pytest.importorskip("pyarrow")
    queue: Any = conveyor.Queue(codec="arrow")
    table = arrow.table({"n": np.arange(100_000), "text": ["some text"] * 100_000})
    queue.put(table)
    received = queue.get()
    assert received.equals(table)
    assert queue.statistics().memory_lent >= table.nbytes
    column = received["n"]
    del received
    gc.collect()
    assert queue.statistics().memory_lent > 0
    assert column[-1].as_py() == 99_999
    del column
    gc.collect()
    assert queue.statistics().memory_lent == 0
    assert queue._check() == ""
    with pytest.raises(TypeError, match=r"pyarrow\.Table"):
        queue.put({"no": "table"})


@pytest.mark.parametrize(
    "sizes", [[], [0], [3], [0, 5, 0], [100, 20_000], [20_000, 0, 20_000, 7], [MIB, 3, 65536]]
)
@pytest.mark.parametrize("header", [b"", b"header", b"h" * 40_000])
@pytest.mark.parametrize("written", [False, True])
def test_parts_of_any_size(header: bytes, sizes: list[int], written: bool) -> None:
    codec = Parts()
    queue: Any = conveyor.Queue(codec=codec)
    contents = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    for _ in range(2):
        queue.put((header, [Writer(content) if written else content for content in contents]))
        got, buffers = queue.get()
        assert got == header
        assert [bytes(buffer) for buffer in buffers] == contents
        assert all(buffer.format == "B" and buffer.ndim == 1 and not buffer.readonly for buffer in buffers)
        del buffers
    assert [bytes(kept) for kept in codec.kept] == [header, header]
    assert queue.statistics().memory_lent == 0
    assert queue._check() == ""


def test_many_parts() -> None:
    queue: Any = conveyor.Queue(codec=Parts())
    contents = [bytes([number % 256]) * (number * 10) for number in range(1000)]
    queue.put((b"", contents))
    assert [bytes(buffer) for buffer in queue.get()[1]] == contents
    assert queue._check() == ""


@pytest.mark.parametrize("size", [10, MIB])
def test_what_a_writer_raises_leaves_the_queue_as_it_was(size: int) -> None:
    queue: Any = conveyor.Queue(codec=Parts())
    place = queue.allocate_bytes(1000)
    place[:] = b"y" * 1000
    with pytest.raises(KeyError, match="half-way"):
        queue.put((b"", [place, Writer(b"x" * size, KeyError("half-way")), b"z" * size]))
    assert queue.empty()
    queue.put((b"", [place]))
    assert bytes(queue.get()[1][0]) == b"y" * 1000
    del place
    assert queue._check() == ""


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (None, TypeError),
        ((b"",), TypeError),
        ((b"", 5), TypeError),
        (("text", []), TypeError),
        ((b"", ["text"]), TypeError),
        ((b"", [memoryview(b"abcdef")[::2]]), BufferError),
    ],
)
def test_a_codec_that_makes_nonsense(made: Any, error: type[Exception]) -> None:
    class Wrong(Parts):
        def dumps(self, obj: Any) -> Any:
            return obj

    queue: Any = conveyor.Queue(codec=Wrong())
    with pytest.raises(error):
        queue.put(made)
    with pytest.raises(error):
        queue.put_many([(b"", []), made])
    assert queue.empty()
    assert queue._check() == ""


def test_a_writer_of_negative_size() -> None:
    writer = Writer(b"")
    writer.nbytes = -1
    with pytest.raises(ValueError, match="at least 0"):
        conveyor.Queue(codec=Parts()).put((b"", [writer]))


def test_what_loads_raises_reaches_get() -> None:
    class Failing(Parts):
        def loads(self, header: memoryview, buffers: list[memoryview]) -> Any:
            raise LookupError("not mine")

    queue: Any = conveyor.Queue(codec=Failing())
    queue.put((b"", [b"x" * MIB]))
    queue.put((b"", [b"x"]))
    for _ in range(2):
        with pytest.raises(LookupError, match="not mine"):
            queue.get()
    gc.collect()
    assert queue.statistics().memory_lent == 0
    assert queue._check() == ""


class TestMismatch:
    @pytest.mark.parametrize("size", [5, MIB])
    @pytest.mark.parametrize(
        "codecs", [("json", "auto"), ("auto", "json"), ("json", "msgpack"), ("pickle", "json")]
    )
    def test_the_item_stays(self, name: str, codecs: tuple[str, str], size: int) -> None:
        one = conveyor.connect(name, codec=codecs[0])
        other = conveyor.connect(name, codec=codecs[1])
        one.put("x" * size)
        for _ in range(2):
            with pytest.raises(CodecMismatch, match="codec="):
                other.get(timeout=1)
            with pytest.raises(CodecMismatch, match="codec="):
                other.get_many(5)
        assert one.qsize() == 1
        assert one.get() == "x" * size
        assert one._check() == ""

    def test_a_batch_ends_before_it(self, name: str) -> None:
        one = conveyor.connect(name)
        one.put_many([1, 2])
        conveyor.connect(name, codec="json").put(3)
        assert one.get_many(10) == [1, 2]
        with pytest.raises(CodecMismatch):
            one.get_many(10)

    def test_auto_and_pickle_read_each_other(self, name: str) -> None:
        auto, pickled = conveyor.connect(name), conveyor.connect(name, codec="pickle")
        auto.put([1, b"x" * 20_000])
        pickled.put(np.arange(50_000))
        assert pickled.get() == [1, b"x" * 20_000]
        assert (auto.get() == np.arange(50_000)).all()


def serve(there: Any, back: Any) -> None:
    back.put(there.get())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_travels_with_the_queue(method: str) -> None:
    context = multiprocessing.get_context(method)
    there, back = conveyor.Queue(codec="json"), conveyor.Queue(codec="msgpack")
    process = context.Process(target=serve, args=(there, back))
    process.start()
    there.put(JSON)
    assert back.get(timeout=30) == JSON
    process.join()
    carrier: Any = conveyor.Queue()
    carrier.put(there)
    received = carrier.get()
    received.put(JSON)
    assert there.get() == JSON
    del there, back, carrier, received
    conveyor.Queue()  # lets go of what was sent and has been received


def test_the_ends_use_it_too() -> None:
    queue: Any = conveyor.Queue(codec="json")
    queue._writer.send(JSON)
    assert queue._reader.recv() == JSON
    with pytest.raises(TypeError, match="codec"):
        queue._writer.send_bytes(b"x")
    queue.put((1, 2))
    assert queue.get() == [1, 2]


@pytest.mark.parametrize(
    ("codec", "error", "text"),
    [
        ("jsn", ValueError, "'json'"),
        (5, TypeError, "dumps"),
        (Parts, TypeError, "instance"),
        (None, TypeError, "dumps"),
    ],
)
def test_wrong_codec(codec: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        conveyor.Queue(codec=codec)


def test_a_codec_that_refers_to_its_queue_is_collected() -> None:
    codec: Any = Parts()
    codec.queue = conveyor.Queue(codec=codec)
    gone = weakref.ref(codec.queue)
    del codec
    gc.collect()
    assert gone() is None


def test_from_several_threads() -> None:
    queue: Any = conveyor.Queue(codec="raw", max_bytes=MIB)
    received: list[Any] = []

    def consume() -> None:
        received.extend(bytes(queue.get()) for _ in range(200))

    threads = [threading.Thread(target=consume) for _ in range(2)]
    threads += [
        threading.Thread(target=lambda: [queue.put(bytes([n % 256]) * 60_000) for n in range(200)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one[0] for one in received) == sorted([n % 256 for n in range(200)] * 2)
    assert all(one == one[:1] * 60_000 for one in received)
    assert queue.statistics().memory_lent == 0
    assert queue._check() == ""
