"""What is share_memory_()d stays shared through a queue: when it is read for the first time, and again."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import conveyor

tensor_items: Any = pytest.importorskip(
    "tensor_items", reason="torch is not installed, which is some GB: make test-torch", exc_type=ImportError
)
torch: Any = tensor_items.torch
fork: Any = get_context("fork")


def shared(size: int = 50) -> Any:
    return torch.zeros(size).share_memory_()


def run(target: Callable[..., object], *args: Any, method: str = "fork") -> int | None:
    """In a child; its exit code."""
    context: Any = get_context(method)
    child = context.Process(target=target, args=args)
    child.start()
    child.join(60)
    code: int | None = child.exitcode
    return code


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def add_one(queue: Any) -> None:
    received = queue.get(timeout=60)
    received["x"] += 1


def lease_add_one_and_die(queue: Any) -> None:
    lease = queue.lease(timeout=60)
    lease.item["x"] += 1
    os.kill(os.getpid(), signal.SIGKILL)


def lease_and_add_one(queue: Any) -> None:
    with queue.lease(timeout=60) as item:
        item["x"] += 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_first_and_second_reading_in_other_processes(method: str) -> None:
    queue: Any = conveyor.Queue()
    sent = shared()
    queue.put({"x": sent})
    assert run(lease_add_one_and_die, queue, method=method) == -signal.SIGKILL
    assert sent.sum() == 50
    assert run(lease_add_one_and_die, queue, method=method) == -signal.SIGKILL
    assert sent.sum() == 100
    assert run(lease_and_add_one, queue, method=method) == 0
    assert sent.sum() == 150
    assert queue.empty()


def test_readings_in_the_same_process() -> None:
    queue: Any = conveyor.Queue()
    sent = shared()
    queue.put(sent)
    for _ in range(3):
        lease = queue.lease(timeout=5)
        lease.item[3] += 1
        lease.release()
    queue.get(timeout=5)[3] += 1
    assert sent[3] == 4


def test_aliases_within_and_between_items() -> None:
    queue: Any = conveyor.Queue()
    sent = shared(1000)
    queue.put([sent[:10], sent[5:15]])
    queue.put([sent, sent.untyped_storage()])
    (first, second), (whole, storage) = queue.get(timeout=5), queue.get(timeout=5)
    first[7] = 3
    assert second[2] == whole[7] == sent[7] == 3
    assert storage.data_ptr() == whole.untyped_storage().data_ptr()


def put_shared_and_wait(queue: Any, end: Any) -> None:
    queue.put({"x": torch.full((50,), 7.0).share_memory_()})
    gc.collect()
    end.get(timeout=60)


def put_shared_and_die(queue: Any) -> None:
    queue.put({"x": torch.full((50,), 7.0).share_memory_()})
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def dropping_sender() -> Iterator[tuple[Any, Any]]:
    """A queue whose item has a shared tensor that its sender, who lives, has dropped; and the sender."""
    queue: Any = conveyor.Queue(max_attempts=2, dead_letters=conveyor.Queue())
    end: Any = conveyor.Queue()
    sender = fork.Process(target=put_shared_and_wait, args=(queue, end))
    sender.start()
    until(lambda: queue.qsize() == 1)
    try:
        yield queue, sender
    finally:
        end.put(None)
        sender.join(60)
    assert sender.exitcode == 0


class TestDropped:
    def test_it_is_there_until_it_was_read(self) -> None:
        with dropping_sender() as (queue, _):
            (seen,) = queue.peek()
            del seen
            gc.collect()
            assert queue.get(timeout=5)["x"].sum() == 350, "looking at it is no reading"

    def test_the_second_reading_says_what_is_the_matter(self) -> None:
        with dropping_sender() as (queue, sender):
            queue.lease(timeout=5).release()
            gc.collect()
            until(lambda: of_torch(sender.pid) == 0)
            with pytest.raises(conveyor.SegmentGone, match=rf"{sender.pid}.*lives.*clone\(\)"):
                queue.lease(timeout=5)
            assert queue.empty()
            letter = queue._dead_letters.get(timeout=5)
            assert "SegmentGone" in letter.error
            assert letter.raw is not None

    def test_who_has_it_still_reads_it_again(self) -> None:
        with dropping_sender() as (queue, sender):
            lease = queue.lease(timeout=5)
            kept = lease.item["x"]
            lease.release()
            until(lambda: of_torch(sender.pid) == 0)
            again = queue.get(timeout=5)["x"]
            again[3] = -1
            assert kept[3] == -1


def of_torch(pid: int) -> int:
    """A process's descriptors of torch's shared memory."""
    names = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(str(each.readlink()))
        except FileNotFoundError:
            continue
    return sum("torch_" in name for name in names)


class TestDead:
    def test_get_and_lease_say_it(self) -> None:
        queue: Any = conveyor.Queue()
        for _ in range(2):
            assert run(put_shared_and_die, queue) == -signal.SIGKILL
        for read in (lambda: queue.get(timeout=5), lambda: queue.lease(timeout=5), lambda: queue.peek()):
            with pytest.raises(conveyor.SegmentGone, match=r"has ended.*clone\(\)") as error:
                read()
            assert isinstance(error.value.raw, bytes)  # type: ignore[attr-defined]
        assert queue.purge() == 1, "what could not be leased stays"
        queue.put(torch.ones(3))
        assert queue.get(timeout=5).sum() == 3

    def test_a_value_by_name_outlives_its_sender(self) -> None:
        url = "shm://shared_tensors"
        queue: Any = conveyor.connect(url)
        try:
            assert run(put_shared_and_die, queue) == -signal.SIGKILL
            assert queue.get(timeout=5)["x"].sum() == 350
        finally:
            conveyor.remove(url)


class TestNotPut:
    def test_full(self) -> None:
        queue: Any = conveyor.Queue(maxsize=1)
        queue.put(0)
        before = of_torch(os.getpid())
        for _ in range(5):
            with pytest.raises(conveyor.Full):
                queue.put(shared(), timeout=0.001)
        gc.collect()
        assert of_torch(os.getpid()) == before

    def test_it_cannot_be_pickled(self) -> None:
        queue: Any = conveyor.Queue()
        before = of_torch(os.getpid())
        with pytest.raises((pickle.PicklingError, AttributeError)):
            queue.put([shared(), lambda: 0])
        gc.collect()
        assert of_torch(os.getpid()) == before

    def test_it_was_pickled_twice(self) -> None:
        queue: Any = conveyor.Queue()
        before = of_torch(os.getpid())
        base = torch.arange(100)
        queue.put([shared(), base[:50], base[20:]])
        received, first, second = queue.get(timeout=5)
        first[30] = -1
        assert second[10] == -1
        assert received.sum() == 0
        del received
        gc.collect()
        until(lambda: of_torch(os.getpid()) == before)


class TestDescriptors:
    def test_none_is_left(self) -> None:
        queue: Any = conveyor.Queue()
        before = of_torch(os.getpid())
        for _ in range(20):
            queue.put([shared() for _ in range(5)])
        for _ in range(20):
            assert run(add_nothing, queue) == 0
        gc.collect()
        until(lambda: of_torch(os.getpid()) == before)

    def test_many_items_of_one_storage_cost_one(self) -> None:
        queue: Any = conveyor.Queue()
        sent = shared()
        before = of_torch(os.getpid())
        for _ in range(200):
            queue.put(sent)
        assert of_torch(os.getpid()) == before + 1
        for _ in range(200):
            queue.get(timeout=5)
        until(lambda: of_torch(os.getpid()) == before)

    def test_none_left_for_it(self) -> None:
        queue: Any = conveyor.Queue()
        assert run(put_without_descriptors, queue) == 0
        assert queue.get(timeout=5) == "put"
        assert queue.empty()


def add_nothing(queue: Any) -> None:
    assert len(queue.get(timeout=60)) == 5


def put_without_descriptors(queue: Any) -> None:
    import resource

    sent = shared()
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    held = [os.dup(0) for _ in range(highest - descriptors() + 4)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() - 1, 1024))
    try:
        queue.put(sent)
    except OSError:
        queue.put("put")
    else:
        queue.put("it should have failed")
    del held


def test_a_forked_child_sends_what_it_inherited() -> None:
    queue: Any = conveyor.Queue()
    sent = shared()
    queue.put({"x": sent})
    end: Any = conveyor.Queue()
    child = fork.Process(target=put_and_wait, args=(queue, sent, end))
    child.start()
    first, second = queue.get(timeout=60)["x"], queue.get(timeout=60)["x"]
    first[3] = 1
    second[3] += 1
    assert sent[3] == 2
    end.put(None)
    child.join(60)
    assert child.exitcode == 0


def put_and_wait(queue: Any, sent: Any, end: Any) -> None:
    queue.put({"x": sent})
    end.get(timeout=60)


def test_threads_that_send_the_same() -> None:
    queue: Any = conveyor.Queue()
    sent = shared()

    def put() -> None:
        for _ in range(100):
            queue.put(sent)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(400):
        queue.get(timeout=20)[0] += 1
    for thread in threads:
        thread.join()
    assert sent[0] == 400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_receiver_that_may_not_look_at_the_sender() -> None:
    queue: Any = conveyor.Queue()
    sent = shared()
    queue.put({"x": sent})
    assert run(become_another_user_and_add_one, queue) == 0
    assert sent.sum() == 50


def become_another_user_and_add_one(queue: Any) -> None:
    os.setresuid(65534, 65534, 65534)
    add_one(queue)


def test_the_other_strategy_of_torchs() -> None:
    assert run(share_by_the_file_system) == 0


def share_by_the_file_system() -> None:
    torch.multiprocessing.set_sharing_strategy("file_system")
    queue: Any = conveyor.Queue()
    sent = shared()
    queue.put(sent)
    queue.get(timeout=5)[3] = 9
    assert sent[3] == 9
