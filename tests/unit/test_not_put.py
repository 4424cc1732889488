"""What an item leads to is let go of when the item does not get into its queue after all: memory, and descriptors."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor.queues.pipe import Pipe


def full() -> Any:
    queue: Any = conveyor.Queue(maxsize=1)
    queue.put(0)
    return queue


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def exports(handle: Any) -> int:
    """Pickled handles that nobody has attached yet."""
    memory: Any = getattr(handle, "_region", None) or handle._segment
    count: int = memory.exports
    return count


class Raising:
    """Lets the pickling of an item fail after what comes before it."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        raise self._error


MAKERS: list[Callable[[], Any]] = [conveyor.Queue, conveyor.Lock, lambda: conveyor.SharedValue(int)]


@pytest.mark.parametrize("make", MAKERS, ids=["queue", "lock", "value"])
class TestMemory:
    @pytest.mark.parametrize(
        "beside", [b"", bytes(100_000), bytearray(100_000)], ids=["small", "large", "buffer"]
    )
    def test_full(self, make: Callable[[], Any], beside: Any) -> None:
        queue, handle = full(), make()
        for _ in range(3):
            with pytest.raises(conveyor.Full):
                queue.put((handle, beside), timeout=0.001)
        assert exports(handle) == 0
        queue.get()
        queue.put((handle, beside))
        assert exports(handle) == 1
        queue.get()
        assert exports(handle) == 0

    def test_too_large_and_shut_down(self, make: Callable[[], Any]) -> None:
        queue, handle = conveyor.Queue[Any](max_bytes=1000), make()
        with pytest.raises(conveyor.ItemTooLarge):
            queue.put((handle, bytearray(100_000)))
        queue.shutdown()
        with pytest.raises(conveyor.ShutDown):
            queue.put(handle)
        assert exports(handle) == 0

    @pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
    def test_not_to_be_pickled(self, make: Callable[[], Any], error: type[BaseException]) -> None:
        queue, handle = conveyor.Queue[Any](), make()
        with pytest.raises(error):
            queue.put((handle, Raising(error)))
        with pytest.raises(error):
            queue.put_many([handle, handle, Raising(error)])
        assert exports(handle) == 0
        assert queue.empty()

    def test_some_of_many(self, make: Callable[[], Any]) -> None:
        queue, handle = conveyor.Queue[Any](maxsize=3), make()
        with pytest.raises(conveyor.Full) as raised:
            queue.put_many([(handle, bytearray(40_000 * (i % 2))) for i in range(8)], timeout=0.001)
        assert raised.value.items_put == 3  # type: ignore[attr-defined]
        assert exports(handle) == 3
        for _ in range(3):
            queue.get()
        assert exports(handle) == 0

    def test_pickles_that_are_no_items_are_kept(self, make: Callable[[], Any]) -> None:
        handle = make()
        made = pickle.dumps(handle)
        assert exports(handle) == 1
        pickle.loads(made)
        assert exports(handle) == 0


@pytest.mark.parametrize("make", [Pipe, multiprocessing.Pipe], ids=["ours", "stock"])
def test_connections(make: Callable[[], Any]) -> None:
    queue, carrier = full(), conveyor.Queue[Any]()
    one, other = make()
    carrier.put(one)
    carrier.get().close()
    # What serves descriptors may have two, or none while nothing is on offer.
    before = descriptors() + 2
    for _ in range(5):
        with pytest.raises(conveyor.Full):
            queue.put(one, timeout=0.001)
    gc.collect()
    assert descriptors() <= before
    carrier.put(one)
    received = carrier.get()
    other.send("it works still")
    assert received.recv() == "it works still"
    for each in (one, other, received):
        each.close()
