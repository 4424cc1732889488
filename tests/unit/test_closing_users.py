"""Who in this process keeps the memory of a closed queue: calls, leases, arrays, blocks, other handles."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy
import pytest
from callers import until
from closing import belongings, drain

import conveyor

both = pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.SimpleQueue])


class TestStillNeeded:
    def test_by_a_lease(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put_many(range(4))
        before = belongings()
        one, two, three, four = (queue.lease() for _ in range(4))
        queue.close()
        assert belongings() == before
        one.acknowledge()
        two.release()
        three.reject()
        assert belongings() == before
        with four as item:
            assert item == 3
        assert pickle.loads(pickle.dumps(queue)).get() == 1
        conveyor.Queue()
        queue.join_thread()
        assert belongings() < before
        with pytest.raises(conveyor.LeaseLost):
            one.release()
        assert queue.qsize() == 0

    def test_by_a_lease_that_is_dropped(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(1)
        before = belongings()
        lease = queue.lease()
        queue.close()
        assert belongings() == before
        del lease  # the item is back
        assert queue.qsize() == 1
        assert belongings() == before

    def test_by_an_array_that_was_received(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(numpy.arange(100_000))
        array = queue.get()
        before = belongings()
        queue.close()
        numpy.testing.assert_array_equal(array, numpy.arange(100_000))
        array[:] = 7
        assert belongings() == before
        del array
        assert belongings() < before

    def test_by_an_array_to_be_filled(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        array = queue.allocate(100_000)
        queue.close()
        array[:] = 7
        assert (array == 7).all()

    def test_by_a_block_of_a_producer(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        other = copy.copy(queue)
        conveyor.Queue()  # lets go of what the copy was pickled with
        with queue.producing():
            queue.put(1)
            queue.close()
            assert not other.is_shutdown
        assert other.is_shutdown
        assert other.get() == 1
        with pytest.raises(conveyor.ShutDown):
            other.get()

    def test_by_another_handle(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        other = copy.copy(queue)
        reader = queue._reader
        queue.put("one")
        queue.close()
        other.put("two")
        assert (queue.qsize(), other.qsize()) == (2, 2)
        assert reader.recv() == "one"
        assert other.get() == "two"
        assert queue.qsize() == 0
        assert pickle.loads(pickle.dumps(queue)).qsize() == 0
        conveyor.Queue()

    @both
    def test_by_a_thread_inside_a_call(self, kind: Any) -> None:
        queue = kind()
        other = copy.copy(queue)
        conveyor.Queue()
        received: list[Any] = []
        threads = [threading.Thread(target=lambda: received.append(queue.get())) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: other.statistics().get_waits >= 3)
        queue.close()
        other.put("first")
        until(lambda: len(received) == 1)
        before = belongings()
        for item in ("second", "third"):
            other.put(item)
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert belongings() == before  # the other one has it
        other.close()
        assert belongings() < before

    def test_until_the_last_thread_has_left(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        before = belongings()
        empty = []

        def wait() -> None:
            try:
                queue.get(timeout=2)  # long enough to be in it when it is closed
            except conveyor.Empty:
                empty.append(1)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: queue.statistics().get_waits >= 3)
        queue.close()
        assert belongings() == before
        for thread in threads:
            thread.join()
        assert len(empty) == 3
        assert belongings() < before

    def test_by_its_own_codec_in_the_middle_of_a_put(self) -> None:
        class Closing:
            name = "closing"

            def dumps(self, obj: Any) -> Any:
                if obj == b"two":
                    queue.close()
                return bytes(obj), []

            def loads(self, header: Any, buffers: Any) -> Any:
                return bytes(header)

        queue: conveyor.Queue[Any] = conveyor.Queue(codec=Closing())
        queue.put(b"one")
        before = belongings()
        assert queue.get() == b"one"
        queue.put(b"two")  # it was under way
        assert queue.qsize() == 1
        assert belongings() == before
        queue._closed = False
        assert queue.get() == b"two"
        assert belongings() < before
        with pytest.raises(ValueError, match="is closed"):
            queue.put(b"three")


def test_threads_that_use_it_while_it_is_closed() -> None:
    before = belongings()
    for _ in range(30):
        queue: conveyor.Queue[Any] = conveyor.Queue()
        errors: list[BaseException] = []

        def work(queue: Any = queue, errors: Any = errors) -> None:
            try:
                while True:
                    queue.put([1, "two"])
                    queue.get(timeout=0.05)
                    queue.qsize()
                    with queue.lease(0) if queue.qsize() else threading.Lock():
                        pass
            except ValueError:
                pass
            except (conveyor.Empty, OSError):
                pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda queue=queue: queue.statistics().items_in > 20)
        queue.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert not errors
        if queue.qsize():
            drain(queue)
        assert belongings() == before
