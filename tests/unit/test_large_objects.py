"""Large objects: one copy on the way in, none on the way out, and the memory comes back."""

from __future__ import annotations

import copyreg
import gc
import pickle
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from lending import lent, sound, there_and_back

import conveyor
from conveyor.errors import ItemTooLarge

MIB = 1 << 20


class Matrix(np.ndarray[Any, Any]):
    pass


BIG = 20_000
STRUCTURED = np.dtype([("id", "i4"), ("at", "M8[ms]"), ("place", "f8", 3), ("name", "U4")])
ARRAYS = {
    "one byte": np.arange(BIG * 4, dtype="u1"),
    "int64": np.arange(BIG),
    "big-endian": np.arange(BIG, dtype=">i8"),
    "half": np.linspace(0, 1, 4 * BIG, dtype="f2"),
    "complex": np.arange(BIG) * (1 + 2j),
    "bool": np.arange(4 * BIG) % 3 == 0,
    "text": np.array(["ab", "cde", ""] * BIG),
    "bytes": np.array([b"ab", b"cde"] * BIG),
    "datetime": np.arange(BIG).astype("M8[us]"),
    "timedelta in Fortran order": np.asfortranarray(np.arange(BIG * 2).astype("m8[s]").reshape(200, -1)),
    "structured": np.zeros(BIG, STRUCTURED),
    "structured with holes": np.zeros(BIG, np.dtype({"names": ["a"], "formats": ["f4"], "offsets": [12]})),
    "void": np.zeros(BIG, "V9"),
    "C order": np.arange(BIG * 2.0).reshape(200, -1),
    "Fortran order": np.arange(BIG * 2.0).reshape(200, -1).T,
    "three axes, transposed": np.arange(BIG * 3).reshape(3, 100, -1).transpose(1, 2, 0),
    "every other": np.arange(BIG * 4)[::2],
    "backwards": np.arange(BIG * 2)[::-1],
    "a column": np.arange(BIG * 4).reshape(-1, 2)[:, 1],
    "broadcast": np.broadcast_to(np.arange(1000.0), (50, 1000)),
    "no axis": np.array(3.5),
    "no element": np.empty((0, 7), "f4"),
    "no size": np.empty(5, "S0"),
    "small": np.arange(5),
    "objects": np.array([1, "two", None], object),
    "small datetime": np.arange(5).astype("M8[D]"),
}


class TestArrays:
    @pytest.mark.parametrize("name", ARRAYS)
    @pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "SimpleQueue"])
    def test_come_back_as_from_pickle(self, kind: str, name: str) -> None:
        queue = getattr(conveyor, kind)()
        array = ARRAYS[name]
        expected = pickle.loads(pickle.dumps(array, 5))
        received = there_and_back(queue, array)
        assert type(received) is np.ndarray
        assert received.dtype == expected.dtype
        assert received.shape == expected.shape
        assert repr(received.tolist()) == repr(expected.tolist())
        if not array.dtype.hasobject:
            assert received.tobytes() == expected.tobytes()
        for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED"):
            assert received.flags[flag] == expected.flags[flag], flag
        del received
        assert sound(queue)

    def test_a_read_only_one_stays_so(self) -> None:
        queue: Any = conveyor.Queue()
        array = np.arange(BIG)
        array.flags.writeable = False
        assert not there_and_back(queue, array).flags.writeable

    def test_lie_in_the_queues_memory(self) -> None:
        queue: Any = conveyor.Queue()
        received = there_and_back(queue, np.arange(BIG))
        assert lent(queue) >= received.nbytes
        received[:] = 1  # it is ours
        del received
        assert sound(queue)

    def test_subclasses_keep_their_way(self) -> None:
        queue: Any = conveyor.Queue()
        matrix = np.arange(BIG).reshape(2, -1).view(Matrix)
        masked = np.ma.masked_greater(np.arange(BIG), 5)
        records = np.zeros(BIG, STRUCTURED).view(np.recarray)
        for item in (matrix, masked, records):
            received = there_and_back(queue, item)
            assert type(received) is type(item)
            assert received.tobytes() == item.tobytes()

    def test_the_same_array_twice_is_one(self) -> None:
        queue: Any = conveyor.Queue()
        array = np.arange(BIG)
        first, second = there_and_back(queue, [array, array])
        assert first is second

    def test_in_an_item_with_other_things(self) -> None:
        queue: Any = conveyor.Queue()
        item = {"a": np.arange(BIG), "text": "x" * 20_000, "more": [np.ones(BIG), (1, np.zeros(3))]}
        received = there_and_back(queue, item)
        assert list(received) == list(item)
        assert (received["a"] == item["a"]).all()
        assert (received["more"][0] == 1).all()
        assert received["text"] == item["text"]

    @pytest.mark.parametrize("count", [15, 40, 700])
    def test_many_in_one_item(self, count: int) -> None:
        queue: Any = conveyor.Queue()
        item = [np.full(2500, number) for number in range(count)]
        received = there_and_back(queue, item)
        assert all((one == number).all() for number, one in enumerate(received))
        assert len(received) == count
        one = received[count // 2]
        del received
        assert (one == count // 2).all()
        assert lent(queue) > 0
        del one
        assert sound(queue)

    def test_a_users_reducer_comes_first(self) -> None:
        queue: Any = conveyor.Queue()
        copyreg.pickle(np.ndarray, lambda array: (str, ("mine",)))  # type: ignore[arg-type, return-value]
        try:
            assert there_and_back(queue, np.arange(BIG)) == "mine"
        finally:
            del copyreg.dispatch_table[np.ndarray]

    def test_other_libraries_objects(self) -> None:
        queue: Any = conveyor.Queue()
        arrow = pytest.importorskip("pyarrow")
        table = arrow.table({"a": np.arange(BIG), "b": ["text"] * BIG})
        received = there_and_back(queue, table)
        assert received.equals(table)
        assert lent(queue) >= table.nbytes
        del received
        assert sound(queue)


class TestOtherBuffers:
    def test_bytearray(self) -> None:
        queue: Any = conveyor.Queue()
        item = bytearray(range(256)) * 1000
        received = there_and_back(queue, item)
        assert type(received) is bytearray
        assert received == item

    @pytest.mark.parametrize("size", [0, 10, 16 * 1024, MIB])
    def test_memoryview(self, size: int) -> None:
        queue: Any = conveyor.Queue()
        item = memoryview(bytearray(size))
        received = there_and_back(queue, item)
        assert type(received) is memoryview
        assert received == item
        assert not received.readonly

    def test_memoryview_of_numbers(self) -> None:
        queue: Any = conveyor.Queue()
        view = memoryview(array("d", range(BIG))).cast("B").cast("d", (100, BIG // 100))
        received = there_and_back(queue, view)
        assert (received.format, received.shape) == ("d", (100, BIG // 100))
        assert received == view

    def test_memoryview_with_strides(self) -> None:
        queue: Any = conveyor.Queue()
        received = there_and_back(queue, memoryview(bytes(range(100)))[::3])
        assert received.tolist() == list(range(0, 100, 3))

    def test_memoryview_that_could_not_come_back(self) -> None:
        queue: Any = conveyor.Queue()
        with pytest.raises(TypeError, match="single native character"):
            queue.put(memoryview(np.arange(10, dtype=">i4")))
        assert queue.empty()
        assert sound(queue)

    def test_pickle_buffer(self) -> None:
        queue: Any = conveyor.Queue()
        assert bytes(there_and_back(queue, pickle.PickleBuffer(b"x" * 100_000))) == b"x" * 100_000

    def test_recv_bytes_gives_a_whole_pickle(self) -> None:
        queue: Any = conveyor.Queue()
        queue.put({"a": np.arange(BIG)})
        received = pickle.loads(queue._reader.recv_bytes())
        assert (received["a"] == np.arange(BIG)).all()
        assert sound(queue)


class TestLifetime:
    def test_longer_than_the_queue(self) -> None:
        queue: Any = conveyor.Queue()
        received = there_and_back(queue, np.arange(BIG))
        queue.close()
        del queue
        gc.collect()
        received += 1
        assert received[-1] == BIG

    def test_a_slice_keeps_it(self) -> None:
        queue: Any = conveyor.Queue()
        part = there_and_back(queue, np.arange(BIG))[100:110]
        queue.put(np.zeros(BIG))
        queue.get()
        assert part.tolist() == list(range(100, 110))
        assert lent(queue) > 0
        del part
        assert sound(queue)

    def test_on_another_queue_and_back_again(self) -> None:
        queue: Any = conveyor.Queue()
        other: Any = conveyor.Queue()
        received = np.arange(BIG)
        for _ in range(5):
            received = there_and_back(other, there_and_back(queue, received))
        assert (received == np.arange(BIG)).all()
        assert there_and_back(other, received) is not received
        del received
        assert sound(queue)
        assert sound(other)

    def test_held_in_thousands(self) -> None:
        queue: Any = conveyor.Queue()
        held = [there_and_back(queue, np.full(8000, number)) for number in range(3000)]
        assert all((one == number).all() for number, one in enumerate(held))
        assert lent(queue) == 3000 * 65536
        del held
        assert sound(queue)
        assert queue.statistics().memory_held < 100 * MIB

    def test_collected_in_any_thread(self) -> None:
        queue: Any = conveyor.Queue()
        held = [there_and_back(queue, np.full(8000, number)) for number in range(40)]
        threads = [threading.Thread(target=held.clear) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sound(queue)


class TestBounds:
    def test_too_large(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=MIB)
        with pytest.raises(ItemTooLarge, match=r"1048576"):
            queue.put(np.zeros(MIB))
        queue.put(np.zeros(1000))
        assert queue.get().shape == (1000,)
        assert sound(queue)

    def test_what_is_lent_takes_room(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=4 * MIB)
        held = there_and_back(queue, np.zeros(2 * MIB, "u1"))
        queue.put(np.zeros(MIB, "u1"))
        with pytest.raises(conveyor.Full):
            queue.put(np.zeros(3 * MIB // 2, "u1"), timeout=0.05)
        del held
        queue.put(np.zeros(3 * MIB // 2, "u1"), timeout=0)
        assert queue.qsize() == 2

    def test_letting_go_wakes_a_producer(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=4 * MIB)
        held = there_and_back(queue, np.zeros(2 * MIB, "u1"))
        queue.put(np.zeros(MIB, "u1"))
        producer = threading.Thread(target=queue.put, args=(np.zeros(2 * MIB, "u1"),))
        producer.start()
        while queue.statistics().put_waits == 0:
            pass
        assert queue.qsize() == 1
        del held
        producer.join()
        assert queue.qsize() == 2

    def test_a_hoarder_gets_copies_and_starves_nobody(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=8 * MIB)
        held = []
        for number in range(100):
            queue.put(np.full(MIB // 16, number), timeout=5)
            held.append(queue.get(timeout=5))
        assert all((one == number).all() for number, one in enumerate(held))
        assert 0 < lent(queue) <= 4 * MIB
        assert all(one.flags.writeable for one in held)
        del held
        assert sound(queue)

    def test_a_hoarder_waiting_for_more_gets_more(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=2 * MIB)
        held = [there_and_back(queue, np.zeros(2 * MIB - 1000, "u1")) for _ in range(4)]
        assert len(held) == 4

    def test_counts_in_batches(self) -> None:
        queue: Any = conveyor.Queue(maxsize=4)
        arrays = [np.full(BIG, number) for number in range(6)]
        with pytest.raises(conveyor.Full) as caught:
            queue.put_many(["first", *arrays], timeout=0.02)
        assert caught.value.items_put == 4  # type: ignore[attr-defined]
        first, *rest = queue.get_many(10)
        assert first == "first"
        assert [int(one[0]) for one in rest] == [0, 1, 2]


@contextmanager
def pipe(duplex: bool) -> Iterator[tuple[Any, Any]]:
    receiver, sender = conveyor.Pipe(duplex)
    with receiver, sender:
        yield receiver, sender


@pytest.mark.parametrize("duplex", [False, True])
def test_a_pipe_has_the_same_path(duplex: bool) -> None:
    with pipe(duplex) as (receiver, sender):
        array = np.arange(MIB)
        thread = threading.Thread(target=lambda: [sender.send(array) for _ in range(3)])
        thread.start()
        received = [receiver.recv() for _ in range(3)]
        thread.join()
        assert all((one == array).all() and one.flags.writeable for one in received)
        sender.send({"a": array[:100_000]})
        assert (pickle.loads(receiver.recv_bytes())["a"] == array[:100_000]).all()
