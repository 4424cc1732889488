"""What locks and semaphores say of themselves in each state, and that `locked()` is there as in Python 3.14."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import conveyor

LOCKS: list[Callable[[], Any]] = [conveyor.Lock, conveyor.RLock]
ALL: list[Callable[[], Any]] = [*LOCKS, conveyor.Semaphore, conveyor.BoundedSemaphore]


def in_child(function: Callable[[], object], *, end: Callable[[], object] = lambda: os._exit(0)) -> int:
    child = os.fork()
    if child == 0:
        function()
        end()
    os.waitpid(child, 0)
    return child


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def said(lock: Any) -> tuple[str, str]:
    """The owner and the count; a Lock has none."""
    owner, _, count = repr(lock).partition("(")[2].removesuffix(")>").rpartition(", count=")
    return (owner or count).removeprefix("owner="), count if owner else ""


@pytest.mark.parametrize("make", ALL)
def test_locked(make: Callable[[], Any]) -> None:
    lock = make()
    assert lock.locked() is False
    with lock:
        assert lock.locked() is True
        seen: list[bool] = []
        in_thread(lambda: seen.append(lock.locked()))
        assert seen == [True]
        code = os.waitstatus_to_exitcode
        child = os.fork()
        if child == 0:
            os._exit(int(lock.locked()))
        assert code(os.waitpid(child, 0)[1]) == 1
    assert lock.locked() is False


@pytest.mark.parametrize("make", [conveyor.Semaphore, conveyor.BoundedSemaphore])
def test_a_semaphore_is_locked_when_no_unit_is_left(make: Callable[[int], Any]) -> None:
    semaphore = make(2)
    assert semaphore.acquire()
    assert not semaphore.locked()
    assert semaphore.acquire()
    assert semaphore.locked()
    assert semaphore._is_zero()
    semaphore.release()
    assert not semaphore.locked()
    assert make(0).locked()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_as_contexts_make_them(method: str) -> None:
    import conveyor.multiprocessing as ours

    context = ours.get_context(method)
    for made in (context.Lock(), context.RLock(), context.Semaphore(), context.BoundedSemaphore()):
        assert not made.locked()


class TestRepr:
    @pytest.mark.parametrize("make", LOCKS)
    def test_of_nobody(self, make: Callable[[], Any]) -> None:
        lock = make()
        assert said(lock)[0] == "None"
        assert said(lock)[1] in ("", "0")

    def test_of_this_thread(self) -> None:
        lock = conveyor.RLock()
        with lock, lock:
            assert said(lock) == ("this process", "2")

    def test_of_another_thread(self) -> None:
        """As the standard library's: SomeOtherThread, nonzero."""
        lock, standard = conveyor.RLock(), multiprocessing.get_context("fork").RLock()
        held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            with lock, standard:
                held.set()
                go_on.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        assert said(lock) == ("another thread of this process", "nonzero")
        assert repr(standard) == "<RLock(SomeOtherThread, nonzero)>"
        go_on.set()
        thread.join()
        assert said(lock) == ("None", "0")

    def test_of_a_thread_that_has_ended(self) -> None:
        lock = conveyor.RLock()
        in_thread(lambda: [lock.acquire() for _ in range(2)])
        assert said(lock) == ("another thread of this process", "nonzero")

    def test_a_lock_is_of_the_process(self) -> None:
        lock = conveyor.Lock()
        in_thread(lock.acquire)
        assert said(lock) == ("this process", "")

    @pytest.mark.parametrize("make", LOCKS)
    def test_seen_by_a_child(self, make: Callable[[], Any]) -> None:
        lock = make()
        reading, writing = os.pipe()
        with lock:
            in_child(lambda: os.write(writing, repr(said(lock)).encode()))
        owner, count = eval(os.read(reading, 1000))
        assert owner == f"process {os.getpid()}"
        assert count in ("", "nonzero")
        os.close(reading)
        os.close(writing)

    @pytest.mark.parametrize("end", [lambda: os._exit(0), lambda: os.kill(os.getpid(), signal.SIGKILL)])
    @pytest.mark.parametrize("make", LOCKS)
    def test_of_a_process_that_has_ended(self, make: Callable[[], Any], end: Any) -> None:
        lock = make()
        child = in_child(lock.acquire, end=end)
        assert said(lock)[0] == f"process {child}, which has ended"
        assert said(lock)[1] in ("", "nonzero")

    def test_of_semaphores(self) -> None:
        semaphore = conveyor.Semaphore(2)
        assert repr(semaphore) == "<Semaphore(value=2)>"
        with semaphore:
            assert repr(semaphore) == "<Semaphore(value=1)>"
        assert repr(conveyor.BoundedSemaphore(2)) == "<BoundedSemaphore(value=2, maxvalue=2)>"
