"""A `Pool` whose workers die, and tasks and results that cannot be unpickled: that result raises, and nobody hangs."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.pool import MaybeEncodingError  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

import pytest
from helpers import until

import conveyor.multiprocessing as multiprocessing
from conveyor import WorkerLost

METHODS = ["fork", "spawn", "forkserver"]
SECONDS = 40


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ()


def explode() -> None:
    raise RuntimeError("no such thing here")


class LeavesWhenRead:
    """Ends whoever unpickles it, but not a second time: by then it is somebody's who only looks."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)


class Picky(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def double(item: int) -> int:
    return 2 * item


def die(how: str) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


def give(what: str) -> Any:
    if what == "picky":
        raise Picky(1, 2)
    return {"unreadable": Unreadable(), "lambda": lambda: 0}[what]


def do(item: Any) -> Any:
    return die("killed") if item == "die" else give(item) if isinstance(item, str) else double(item)


def add(one: Any, two: int) -> Any:
    return do(one) + two if isinstance(one, int) else do(one)


def slow_double(item: int) -> int:
    time.sleep(0.002)
    return 2 * item


def pid_of(_: Any) -> int:
    return os.getpid()


def fail_to_begin() -> None:
    raise OSError("no such disk")


@contextmanager
def pool_of_two(method: str) -> Generator[Any]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        yield pool
        # It works as before, and ends as it should.
        assert pool.map(double, range(100), chunksize=3) == [2 * item for item in range(100)]
        pool.close()
        pool.join()


def outcome(call: Any) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("method", METHODS)
class TestWhatRaises:
    @pytest.mark.parametrize("how", ["killed", "exits"])
    def test_a_worker_dies(self, method: str, how: str) -> None:
        with pool_of_two(method) as pool:
            before = [pool.apply_async(double, (item,)) for item in range(5)]
            lost = pool.apply_async(die, (how,))
            after = [pool.apply_async(double, (item,)) for item in range(5)]
            with pytest.raises(WorkerLost, match="signal 9" if how == "killed" else "status 3") as caught:
                lost.get(SECONDS)
            assert caught.value.exitcode == (-9 if how == "killed" else 3)
            assert [result.get(SECONDS) for result in before + after] == 2 * [0, 2, 4, 6, 8]

    @pytest.mark.parametrize(
        ("item", "error"),
        [("die", WorkerLost), ("unreadable", RuntimeError), ("picky", MaybeEncodingError)],
    )
    def test_by_each_method(self, method: str, item: str, error: type[Exception]) -> None:
        with pool_of_two(method) as pool:
            items = [1, item, 3]
            with pytest.raises(error):
                pool.apply(do, (item,))
            with pytest.raises(error):
                pool.map(do, items, chunksize=1)
            with pytest.raises(error):
                pool.map_async(do, items).get(SECONDS)
            with pytest.raises(error):
                pool.starmap(add, [(1, 1), (item, 1)], chunksize=1)
            with pytest.raises(error):
                pool.starmap_async(add, [(1, 1), (item, 1)]).get(SECONDS)
            results = pool.imap(do, items)
            assert [outcome(lambda: results.next(SECONDS)) for _ in items] == [2, error, 6]
            results = pool.imap_unordered(do, items)
            unordered = [outcome(lambda: results.next(SECONDS)) for _ in items]
            assert sorted(unordered, key=str) == sorted([2, error, 6], key=str)

    def test_callbacks_are_called(self, method: str) -> None:
        with pool_of_two(method) as pool:
            told: list[BaseException] = []
            came = threading.Event()

            def note(error: BaseException) -> None:
                told.append(error)
                came.set()

            pool.apply_async(die, ("killed",), error_callback=note)
            assert came.wait(SECONDS)
            assert isinstance(told[0], WorkerLost)

    def test_what_an_exception_said_that_cannot_be_made_again(self, method: str) -> None:
        with pool_of_two(method) as pool:
            with pytest.raises(MaybeEncodingError, match="1 and 2") as caught:
                pool.apply(give, ("picky",))
            assert "in give" in "".join(caught.value.__notes__)

    def test_a_result_that_cannot_be_sent(self, method: str) -> None:
        with pool_of_two(method) as pool, pytest.raises(MaybeEncodingError, match="lambda"):
            pool.apply(give, ("lambda",))

    def test_an_argument_that_cannot_be_read(self, method: str) -> None:
        with pool_of_two(method) as pool:
            with pytest.raises(RuntimeError, match="no such thing here") as caught:
                pool.apply(double, (Unreadable(),))
            assert "unpickled there" in "".join(caught.value.__notes__)
            items = [1, Unreadable(), 3]
            results = pool.imap(double, items)
            assert [outcome(lambda: results.next(SECONDS)) for _ in items] == [2, RuntimeError, 6]

    def test_an_argument_that_kills_who_reads_it(self, method: str) -> None:
        """Only the worker that is to do the task unpickles it, and nobody who looks after that one."""
        with pool_of_two(method) as pool:
            lost = pool.apply_async(double, (LeavesWhenRead(),))
            with pytest.raises(WorkerLost, match="status 7"):
                lost.get(SECONDS)

    def test_an_argument_that_cannot_be_pickled(self, method: str) -> None:
        with pool_of_two(method) as pool, pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            pool.apply(double, (lambda: 0,))

    def test_a_worker_is_killed_that_waits(self, method: str) -> None:
        with pool_of_two(method) as pool:
            for _ in range(5):
                for pid in set(pool.map(pid_of, range(20), chunksize=1)):
                    os.kill(pid, signal.SIGKILL)
                results = [pool.apply_async(double, (item,)) for item in range(20)]
                outcomes = [outcome(lambda result=result: result.get(SECONDS)) for result in results]
                assert all(got in (2 * item, WorkerLost) for item, got in enumerate(outcomes))


@pytest.mark.parametrize("method", METHODS)
class TestAtAnyMoment:
    def test_killed_at_random(self, method: str) -> None:
        """Every task gives its result or is lost, and not more are lost than workers were killed."""
        chance = random.Random(method)
        killed: set[int] = set()
        # A new interpreter takes so long to start that faster killing would leave none that works.
        most = 0.05 if method == "fork" else 2.0
        with multiprocessing.get_context(method).Pool(3) as pool:
            done = threading.Event()

            def kill() -> None:
                while not done.wait(chance.uniform(0, most)):
                    victim = chance.choice(list(pool._pool) or [None])
                    if victim is not None and victim.pid not in killed and victim.is_alive():
                        killed.add(victim.pid)
                        os.kill(victim.pid, signal.SIGKILL)

            killer = threading.Thread(target=kill)
            killer.start()
            try:
                deadline = time.monotonic() + 4
                while time.monotonic() < deadline:
                    lost_before = len(killed)
                    results = [pool.apply_async(slow_double, (item,)) for item in range(200)]
                    outcomes = [outcome(lambda result=result: result.get(SECONDS)) for result in results]
                    lost = outcomes.count(WorkerLost)
                    assert all(got in (2 * item, WorkerLost) for item, got in enumerate(outcomes))
                    assert lost <= len(killed) - lost_before + 3  # those that were about to be noticed
            finally:
                done.set()
                killer.join()
            assert killed
            pool.close()
            pool.join()

    def test_killed_and_closed(self, method: str) -> None:
        pool = multiprocessing.get_context(method).Pool(2)
        results = [pool.apply_async(slow_double, (item,)) for item in range(50)]
        results.append(pool.apply_async(die, ("killed",)))
        pool.close()
        pool.join()
        outcomes = [outcome(lambda result=result: result.get(0)) for result in results]
        assert outcomes == [*(2 * item for item in range(50)), WorkerLost]

    def test_terminated_with_much_to_do(self, method: str) -> None:
        pool = multiprocessing.get_context(method).Pool(2)
        results = pool.imap(slow_double, range(100_000))
        assert results.next(SECONDS) == 0
        began = time.monotonic()
        pool.terminate()
        pool.join()
        assert time.monotonic() - began < 10

    def test_so_many_tasks_per_child(self, method: str) -> None:
        with multiprocessing.get_context(method).Pool(1, maxtasksperchild=2) as pool:
            pids = pool.map(pid_of, range(6), chunksize=1)
            assert len(set(pids)) == 3
            assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2]
            pool.close()
            pool.join()

    def test_an_initializer_that_fails(self, method: str) -> None:
        with multiprocessing.get_context(method).Pool(1, initializer=fail_to_begin) as pool:
            with pytest.raises(OSError, match="no such disk"):
                pool.apply(double, (1,))
            pool.terminate()
            pool.join()

    def test_the_program_is_killed(self, method: str, tmp_path: Path) -> None:
        """No worker outlives it."""
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        started = subprocess.Popen([sys.executable, str(program), method], stdout=subprocess.PIPE, text=True)
        assert started.stdout is not None
        pids = [int(word) for word in started.stdout.readline().split()]
        started.kill()
        started.wait()
        started.stdout.close()
        assert pids
        for pid in pids:
            until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "the end of a worker")


PROGRAM = """
import os, sys, time
import conveyor.multiprocessing as multiprocessing

def pid_of(_):
    time.sleep(0.05)
    return os.getpid()

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(*set(pool.map(pid_of, range(8), chunksize=1)), flush=True)
        time.sleep(600)
"""

INSTALLED = """
import os, signal
import conveyor
conveyor.install()
import multiprocessing

def die(_):
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        try:
            pool.map(die, [1, 2])
        except conveyor.WorkerLost:
            print("lost")
        print(pool.map(abs, [-1, -2]))
        pool.close()
        pool.join()
"""


def test_installed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(INSTALLED)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("lost\n[1, 2]\n", "", 0)


class StandardWorkers(multiprocessing.pool.Pool):
    """As programs do that change what kind of process a worker is."""

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802
        return ctx.Process(*args, **kwds)


def test_a_subclass_that_starts_the_workers_itself() -> None:
    with StandardWorkers(2) as pool:
        assert pool.map(double, range(100), chunksize=3) == [2 * item for item in range(100)]
        with pytest.raises(ZeroDivisionError):
            pool.apply(divmod, (1, 0))
        pool.close()
        pool.join()


def test_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        arrays = [numpy.full(300_000, number) for number in range(8)]
        for number, got in enumerate(pool.imap(numpy.negative, arrays)):
            assert (got == -number).all()
            got += 1  # it is one's own
        pool.close()
        pool.join()
