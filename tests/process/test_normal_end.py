"""How a process ends decides what becomes of what it holds: each class, each way of ending, each start method.

The rule stands in docs/reliability.md: an end by exit keeps what others may give back, as with the standard library; an
end by a signal or by `exec` gives it back at once; what nobody else can give back goes back at any end.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from helpers import METHODS, crew, python

import conveyor
from conveyor import BoundedSemaphore, JoinableQueue, Lock, ProducerLost, Queue, RLock, Semaphore, SharedDict

EXITS = ("return", "sys.exit", "os._exit", "os._exit(7)", "exception")
DEATHS = ("SIGTERM", "SIGKILL", "exec")
CODES = {"sys.exit": 3, "os._exit(7)": 7, "exception": 1, "SIGTERM": -15, "SIGKILL": -9}
BRIEFLY = 0.3  # for what must not come; a death is noticed within a quarter of a second

methods = pytest.mark.parametrize("method", METHODS)


def end(way: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    match way:
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(0)
        case "os._exit(7)":
            os._exit(7)
        case "exception":
            raise RuntimeError("out")
        case "exec":
            os.execv("/bin/true", ["true"])
        case "SIGTERM" | "SIGKILL":
            os.kill(os.getpid(), signal.Signals[way])
            signal.pause()
        case _:
            assert way == "return"


def run(method: str, what: Callable[..., None], *arguments: Any) -> None:
    """Run it in a process, to its end and past the moment when anybody could ask how it ended."""
    with crew() as members:
        members.append(multiprocessing.get_context(method).Process(target=what, args=arguments))
        members[0].start()
        members[0].join(60)
        assert members[0].exitcode == CODES.get(arguments[-1], 0)


class Things:
    """One of each, to be taken by a process that then ends."""

    def __init__(self) -> None:
        # What anybody may give back, and an RLock, which the standard library leaves held for ever.
        self.lock, self.semaphore, self.bounded = Lock(), Semaphore(1), BoundedSemaphore(1)
        self.rlock, self.value = RLock(), conveyor.SharedValue(int)
        self.tasks: JoinableQueue[int] = JoinableQueue()
        # What only its taker can give back.
        self.leased: Queue[str] = Queue()
        self.produced: Queue[str] = Queue()
        self.shared: SharedDict[str, int] = SharedDict()
        self.tasks.put(1)
        self.leased.put("leased")

    def locks(self) -> list[Any]:
        return [self.lock, self.semaphore, self.bounded, self.rlock, self.value.get_lock()]


def take_everything(things: Things, way: str) -> None:
    kept = [*things.locks(), things.leased.lease(), things.produced.producing(), things.shared.update("key")]
    for lock in things.locks():
        lock.acquire()
    things.tasks.get()
    kept[-2].__enter__()
    kept[-1].__enter__()
    things.produced.put("produced")
    end(way)


@methods
@pytest.mark.parametrize("way", EXITS)
def test_an_exit_keeps_what_others_may_give_back(method: str, way: str) -> None:
    things = Things()
    run(method, take_everything, things, way)
    assert [lock.acquire(timeout=BRIEFLY) for lock in things.locks()] == [False] * 5
    assert [lock.acquire(False) for lock in things.locks()] == [False] * 5
    assert things.tasks.join(timeout=BRIEFLY) is False
    for lock in (things.lock, things.semaphore, things.bounded):
        lock.release()
        assert lock.acquire(False) is True
        assert not lock.recovered
        assert lock.acquire(False) is False, "nothing was given twice"
        lock.release()
    with pytest.raises(AssertionError):
        things.rlock.release()
    things.tasks.task_done()
    assert things.tasks.join(timeout=30) is True
    with pytest.raises(ValueError, match="too many"):
        things.tasks.task_done()
    check_what_nobody_else_can_give_back(things)


@methods
@pytest.mark.parametrize("way", DEATHS)
def test_a_death_gives_everything_back(method: str, way: str) -> None:
    things = Things()
    run(method, take_everything, things, way)
    for lock in (things.lock, things.semaphore, things.bounded, things.rlock):
        assert lock.acquire(timeout=30) is True
        assert lock.recovered
        assert lock.acquire(False) is (lock is things.rlock)
    with things.value.get_lock() as got:
        assert got is not False
    assert things.tasks.join(timeout=30) is True
    with pytest.raises(ValueError, match="too many"):
        things.tasks.task_done()
    check_what_nobody_else_can_give_back(things)


def check_what_nobody_else_can_give_back(things: Things) -> None:
    with things.leased.lease(timeout=30) as item:
        assert item == "leased"
    assert things.produced.get(timeout=30) == "produced"
    with pytest.raises(ProducerLost) as raised:
        things.produced.get(timeout=30)
    assert raised.value.items == 1
    with things.shared.update("key") as value:
        value.value = 1
    assert things.shared["key"] == 1


# -- correct programs of the standard library's ------------------------------------------------------------


def take(thing: Any, way: str) -> None:
    thing.acquire()
    end(way)


def give(thing: Any, way: str) -> None:
    thing.release()
    end(way)


def hand_on(tasks: Any, handed: Any, way: str) -> None:
    handed.put(tasks.get())
    end(way)


def finish_what_comes(handed: Any, tasks: Any) -> None:
    for _ in range(3):
        handed.get()
        tasks.task_done()


@methods
class TestPrograms:
    def test_units_of_launchers_that_end_are_given_back_by_their_jobs(self, method: str) -> None:
        semaphore = Semaphore(2)
        for way in ("return", "os._exit"):
            run(method, take, semaphore, way)
        assert semaphore.acquire(timeout=BRIEFLY) is False
        for _ in range(2):
            run(method, give, semaphore, "return")
        assert semaphore.get_value() == 2, "no unit was given twice"
        run(method, take, semaphore, "SIGKILL")
        assert semaphore.acquire(timeout=30)
        assert semaphore.acquire(timeout=30), "a death gives back, as before"

    def test_workers_that_hand_on_what_they_took(self, method: str) -> None:
        tasks: JoinableQueue[int] = JoinableQueue()
        handed: Queue[int] = Queue()
        tasks.put_many(range(3))
        for way in ("return", "os._exit", "exception"):
            run(method, hand_on, tasks, handed, way)
        assert tasks.join(timeout=BRIEFLY) is False
        run(method, finish_what_comes, handed, tasks)
        assert tasks.join(timeout=30) is True


@pytest.mark.parametrize("method", ["spawn", "forkserver"])  # a forked child has its parent's objects
def test_whoever_lets_go_of_a_thing_leaves_it_behind(method: str) -> None:
    tasks: JoinableQueue[int] = JoinableQueue()
    lock = Lock()
    tasks.put(1)
    run(method, take_and_let_go, [tasks, lock], "SIGKILL")
    assert tasks.join(timeout=BRIEFLY) is False
    tasks.task_done()
    assert tasks.join(timeout=30) is True
    assert lock.acquire(timeout=BRIEFLY) is False


def take_and_let_go(things: list[Any], way: str) -> None:
    things[0].get()
    things[1].acquire()
    multiprocessing.current_process()._args = ()  # type: ignore[attr-defined]  # it has them, too
    things.clear()
    end(way)


# -- ways of ending that are not multiprocessing's ----------------------------------------------------------

FORKED = {
    "os._exit": "os._exit(0)",
    "sys.exit": "sys.exit(0)",
    "quit": "quit()",
    "exception": "raise RuntimeError",
    "with a thread": "threading.Thread(target=signal.pause, daemon=True).start(); sys.exit()",
    "bare _exit": "posix._exit(0)",
    "abort": "os.abort()",
    "kill": "os.kill(os.getpid(), 9)",
    "exec": "os.execvp('true', ['true'])",
}
FORK = """
import os, posix, signal, sys, threading
import conveyor
lock, queue = conveyor.Lock(), conveyor.JoinableQueue()
queue.put(1)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    lock.acquire()
    queue.get()
    {ending}
os.close(writing)
if sys.argv[1] == "reaped":
    os.waitpid(child, 0)
else:
    os.read(reading, 1)  # it has no descriptors any more
print(lock.acquire(timeout=1), queue.join(timeout=1))
"""


@pytest.mark.parametrize("seen", ["reaped", "zombie"])
@pytest.mark.parametrize("way", FORKED)
def test_a_process_forked_by_hand(way: str, seen: str) -> None:
    done = python(FORK.format(ending=FORKED[way]), seen)
    assert done.stderr == ""
    died = way in ("abort", "kill", "exec")  # also when what it became by exec has exited
    if way == "bare _exit" and seen == "reaped":
        died = True  # it says nothing, and its parent has asked: nobody can know
    assert done.stdout == f"{died} {died}\n"


RESTART = """
import os, sys
import conveyor
queue = conveyor.connect(sys.argv[1], create=False)
lease = queue.lease(timeout=30)
if lease.attempts == 0:
    os.execv(sys.executable, sys.orig_argv)
print(lease.item, lease.attempts)
lease.acknowledge()
"""


def test_a_program_that_restarts_itself_does_not_wait_for_its_former_self() -> None:
    url = f"shm://restart-{os.getpid()}"
    queue = conveyor.connect(url, create=True)
    try:
        queue.put("work")
        done = python(RESTART, url)
        assert (done.stdout, done.stderr) == ("work 1\n", "")
    finally:
        conveyor.remove(url)


class TestOsExit:
    def test_is_pickled_by_its_name(self) -> None:
        with crew() as members:
            members.append(multiprocessing.get_context("spawn").Process(target=os._exit, args=(5,)))
            members[0].start()
            members[0].join(60)
            assert members[0].exitcode == 5

    def test_is_watched_once(self) -> None:
        done = python(
            "import os, importlib, conveyor\n"
            "first = os._exit\n"
            "importlib.reload(conveyor)\n"
            "assert os._exit is first\n"
            "assert (first.__name__, first.__module__) == ('_exit', 'os')\n"
            "os._exit(6)"
        )
        assert (done.returncode, done.stderr) == (6, "")
