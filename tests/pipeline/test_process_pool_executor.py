"""ProcessPoolExecutor: what calls give, in which order, and how the executor ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy
import pytest
from called import (
    Unpicklable,
    add,
    begun,
    fail,
    make_unreadable,
    mark_and_wait,
    process_id,
    same,
    set_up,
    was_told,
)

import conveyor.multiprocessing
from conveyor import Failure, ProcessPoolExecutor

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as made:
        yield made


@pytest.fixture(params=METHODS)
def by_method(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, request.param) as made:
        yield made


class TestCalls:
    def test_results_exceptions_and_keywords(self, by_method: ProcessPoolExecutor) -> None:
        futures = [by_method.submit(add, number, 1, more=2) for number in range(100)]
        failed = by_method.submit(fail, "on purpose")
        assert [future.result() for future in futures] == list(range(3, 103))
        with pytest.raises(ValueError, match="on purpose") as raised:
            failed.result()
        assert "called.py" in str(raised.value.__cause__)

    def test_map_keeps_the_order(self, by_method: ProcessPoolExecutor) -> None:
        assert list(by_method.map(same, range(5000))) == list(range(5000))
        assert list(by_method.map(add, range(10), range(5))) == [0, 2, 4, 6, 8]

    def test_it_is_an_executor_whose_futures_are_futures(self, executor: ProcessPoolExecutor) -> None:
        assert isinstance(executor, concurrent.futures.Executor)
        futures = [executor.submit(same, number) for number in range(50)]
        done, not_done = concurrent.futures.wait(futures)
        assert not not_done
        assert {future.result() for future in done} == set(range(50))
        assert {future.result() for future in concurrent.futures.as_completed(futures)} == set(range(50))

    def test_workers_are_started_when_there_is_something_for_them(self) -> None:
        with ProcessPoolExecutor(8) as executor:
            assert not executor._processes
            pids = {executor.submit(process_id).result() for _ in range(20)}
            assert len(pids) == 1
            assert set(executor._processes) == pids

    def test_calls_that_wait_for_each_other_have_workers_of_their_own(self) -> None:
        context = conveyor.multiprocessing.get_context("fork")
        for _ in range(5):
            barrier = context.Barrier(3)
            with ProcessPoolExecutor(3, context, set_up, (barrier,)) as executor:
                list(executor.map(same, range(1000)))  # so quick that one worker would be given all
                assert sorted(executor.map(wait_at_barrier, range(3), timeout=60)) == [0, 1, 2]

    @pytest.mark.parametrize("value", [(), (1, 2), [1], None, "text", b"bytes", 2**70, StopIteration(3)])
    def test_any_value_comes_back(self, executor: ProcessPoolExecutor, value: Any) -> None:
        for result in (executor.submit(same, value).result(), next(executor.map(same, [value]))):
            assert type(result) is type(value)
            assert result == value or str(result) == str(value)

    def test_a_failure_as_a_result_is_a_result(self, executor: ProcessPoolExecutor) -> None:
        value = Failure("stage", 1, "item", 1, "ValueError", "no")
        assert executor.submit(same, value).result() == value
        assert list(executor.map(same, [value, 2])) == [value, 2]

    def test_arrays_come_without_copies_and_are_the_callers_own(self, executor: ProcessPoolExecutor) -> None:
        given = numpy.ones(1 << 18)
        got = executor.submit(same, given).result()
        got *= 3
        assert given.sum() == 1 << 18
        assert got.sum() == 3 << 18
        assert got.base is not None  # it lies where the worker wrote it

    def test_callbacks_are_called_and_may_submit(self, executor: ProcessPoolExecutor) -> None:
        ends: list[Any] = []
        came = threading.Event()

        def second(future: Any) -> None:
            ends.append(future.result())
            came.set()

        def first(future: Any) -> None:
            ends.append(future.result())
            executor.submit(same, 2).add_done_callback(second)

        executor.submit(same, 1).add_done_callback(first)
        assert came.wait(60)
        assert ends == [1, 2]

    def test_submitting_threads_do_not_disturb_each_other(self, executor: ProcessPoolExecutor) -> None:
        def many(start: int) -> list[int]:
            return [future.result() for future in [executor.submit(same, start + n) for n in range(500)]]

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            results = list(threads.map(many, range(0, 8000, 1000)))
        assert results == [list(range(start, start + 500)) for start in range(0, 8000, 1000)]


def wait_at_barrier(number: int) -> int:
    was_told()[0].wait(60)
    return number


class TestWhatCannotTravel:
    def test_each_costs_its_own_call_only(self, by_method: ProcessPoolExecutor) -> None:
        lock = make_lock()
        futures = [
            by_method.submit(same, 1),
            by_method.submit(lambda: lock),
            by_method.submit(same, Unpicklable()),
            by_method.submit(make_unreadable),
            by_method.submit(make_lock),
            by_method.submit(same, 2),
        ]
        errors = [type(future.exception(60)).__name__ for future in futures]
        assert errors[0] == errors[5] == "NoneType"
        assert errors[1] in (
            "TypeError",
            "PicklingError",
            "AttributeError",
        )  # without cloudpickle one of the latter
        assert errors[2:5] == ["TypeError", "ValueError", "TypeError"]


def make_lock() -> Any:
    return threading.Lock()


class TestMap:
    def test_an_exception_comes_in_its_turn(self, executor: ProcessPoolExecutor) -> None:
        results = executor.map(refuse_three, range(10))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="three"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)

    def test_what_is_not_there_in_time_is_a_timeout(
        self, executor: ProcessPoolExecutor, tmp_path: Path
    ) -> None:
        with pytest.raises(TimeoutError):
            list(executor.map(mark_and_wait, [str(tmp_path / "mark")], timeout=0.2))
        executor.kill_workers()

    def test_buffersize_bounds_what_is_taken(self, executor: ProcessPoolExecutor) -> None:
        taken: list[int] = []

        def numbers() -> Iterator[int]:
            for number in range(1000):
                taken.append(number)
                yield number

        results = executor.map(same, numbers(), buffersize=10)
        assert len(taken) == 10
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert len(taken) == 15
        assert list(results) == list(range(5, 1000))

    @pytest.mark.parametrize(
        ("options", "error"),
        [({"chunksize": 0}, ValueError), ({"buffersize": 0}, ValueError), ({"buffersize": "x"}, TypeError)],
    )
    def test_bad_arguments(self, executor: ProcessPoolExecutor, options: Any, error: Any) -> None:
        with pytest.raises(error, match=next(iter(options))):
            executor.map(same, [1], **options)

    def test_results_are_not_kept(self, executor: ProcessPoolExecutor) -> None:
        for result in executor.map(make_thing, range(10)):
            reference = weakref.ref(result)
            del result
            gc.collect()
            assert reference() is None

    def test_who_stops_iterating_has_no_more_made(
        self, executor: ProcessPoolExecutor, tmp_path: Path
    ) -> None:
        results = executor.map(append_to, [str(tmp_path / "made")] * 2000, range(2000))
        assert next(results) == 0
        results.close()
        executor.shutdown()
        assert len((tmp_path / "made").read_text().split()) < 2000


class Thing:
    pass


def make_thing(_: int) -> Thing:
    return Thing()


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is refused")
    return number


def append_to(path: str, number: int) -> int:
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    time.sleep(0.001)  # the time that the call takes
    return number


class TestInitializer:
    def test_it_is_called_in_each_worker(self) -> None:
        for method in METHODS:
            with ProcessPoolExecutor(2, method, set_up, ("ready",)) as executor:
                assert executor.submit(was_told).result() == ["ready"]

    def test_one_that_raises_breaks_the_executor(self) -> None:
        executor = ProcessPoolExecutor(2, initializer=fail, initargs=("not today",))
        futures = [executor.submit(same, number) for number in range(5)]
        for future in futures:
            with pytest.raises(BrokenProcessPool, match="not today") as raised:
                future.result(60)
            assert isinstance(raised.value.__cause__, ValueError)
        executor.shutdown()
        with pytest.raises(BrokenProcessPool, match="not today"):
            executor.submit(same, 1)


class TestShutdown:
    def test_it_waits_and_takes_no_more(self) -> None:
        executor = ProcessPoolExecutor(2)
        future = executor.submit(time.sleep, 0.2)
        executor.shutdown()
        assert future.done()
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(same, 1)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.map(same, [1])
        executor.shutdown()

    def test_cancel_futures_cancels_what_has_not_begun(self, tmp_path: Path) -> None:
        executor = ProcessPoolExecutor(1)
        running = executor.submit(begin_and_return, str(tmp_path / "mark"), 0.3)
        begun(tmp_path / "mark")
        waiting = [executor.submit(same, number) for number in range(20)]
        executor.shutdown(cancel_futures=True)
        assert running.result() == "ended"
        assert sum(future.cancelled() for future in waiting) >= 19

    def test_without_waiting_what_was_submitted_is_done(self) -> None:
        executor = ProcessPoolExecutor(2)
        futures = [executor.submit(same, number) for number in range(100)]
        executor.shutdown(wait=False)
        assert [future.result(60) for future in futures] == list(range(100))
        executor.shutdown()

    def test_one_that_is_dropped_does_what_it_has_and_leaves(self) -> None:
        executor = ProcessPoolExecutor(2)
        futures = [executor.submit(process_id) for _ in range(10)]
        thread = executor._executor_manager_thread
        assert thread is not None
        del executor
        gc.collect()
        assert all(future.result(60) for future in futures)
        thread.join(60)
        assert not thread.is_alive()

    def test_the_end_of_the_program_waits_for_what_was_submitted(self) -> None:
        program = (
            "import conveyor, sys; sys.path.insert(0, sys.argv[1]); import called\n"
            "executor = conveyor.ProcessPoolExecutor(2)\n"
            "executor.submit(called.same, 1).add_done_callback(lambda future: print(future.result(), flush=True))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")

    def test_kill_workers_ends_at_once(self, tmp_path: Path) -> None:
        executor = ProcessPoolExecutor(1)
        running = executor.submit(mark_and_wait, str(tmp_path / "mark"))
        waiting = executor.submit(same, 1)
        begun(tmp_path / "mark")
        executor.kill_workers()
        with pytest.raises(BrokenProcessPool, match="stopped"):
            running.result(60)
        assert waiting.cancelled()
        with pytest.raises(RuntimeError):
            executor.submit(same, 1)

    def test_a_ctrl_c_in_the_block_ends_it_at_once(self, tmp_path: Path) -> None:
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt), ProcessPoolExecutor(2) as executor:
            executor.submit(mark_and_wait, str(tmp_path / "mark"))
            begun(tmp_path / "mark")
            raise KeyboardInterrupt
        assert time.monotonic() - started < 60  # the call takes ten minutes

    def test_an_idle_one_uses_no_processor_time(self, executor: ProcessPoolExecutor) -> None:
        list(executor.map(same, range(10)))
        thread = executor._executor_manager_thread
        assert thread is not None
        path = Path(f"/proc/self/task/{thread.native_id}/status")
        time.sleep(0.3)  # until it has gone to sleep
        before = switches(path)
        time.sleep(1.5)
        assert switches(path) == before


def begin_and_return(mark: str, seconds: float) -> str:
    Path(f"{mark}.part").write_text(str(os.getpid()))
    Path(f"{mark}.part").rename(mark)
    time.sleep(seconds)
    return "ended"


def switches(status: Path) -> str:
    return next(line for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt"))


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "error", "says"),
        [
            ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
            ({"initializer": 7}, TypeError, "initializer is 7"),
            ({"mp_context": "threads"}, ValueError, "mp_context is 'threads'"),
            ({"mp_context": 7}, TypeError, "mp_context is 7"),
            ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child is 0"),
            ({"max_tasks_per_child": "1"}, TypeError, "max_tasks_per_child is '1'"),
            ({"timeout": 0}, ValueError, "timeout is 0"),
            ({"timeout": "1"}, TypeError, "timeout is '1'"),
            ({"retries": -1}, ValueError, "retries is -1"),
            ({"retries": 1.5}, TypeError, "retries is 1.5"),
            ({"backoff": -1}, ValueError, "backoff is -1"),
        ],
    )
    def test_bad_ones_are_named(self, arguments: Any, error: Any, says: str) -> None:
        with pytest.raises(error, match=says):
            ProcessPoolExecutor(**arguments)

    def test_contexts_of_both_modules_are_taken(self) -> None:
        for module in (conveyor.multiprocessing, __import__("multiprocessing")):
            with ProcessPoolExecutor(1, module.get_context("spawn")) as executor:
                assert executor.submit(same, 1).result() == 1


class TestInPrograms:
    def test_run_in_executor(self, executor: ProcessPoolExecutor) -> None:
        async def main() -> list[Any]:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(executor, same, number) for number in range(50)]
            return await asyncio.gather(*calls)

        assert asyncio.run(main()) == list(range(50))

    def test_a_cancelled_coroutine_ends_the_call(self, executor: ProcessPoolExecutor, tmp_path: Path) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(executor, mark_and_wait, str(tmp_path / "mark"))
            await loop.run_in_executor(None, begun, tmp_path / "mark")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        asyncio.run(main())
        assert executor.submit(same, 1).result(60) == 1

    def test_a_forked_child_is_told_that_the_workers_are_not_its_own(
        self, executor: ProcessPoolExecutor
    ) -> None:
        executor.submit(same, 1).result()
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                executor.submit(same, 1)
            except RuntimeError as error:
                os.write(theirs, str(error).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(theirs)
        with os.fdopen(ours) as file:
            assert "make an executor here" in file.read()
        assert executor.submit(same, 2).result() == 2

    def test_a_future_that_is_not_done_times_out(self, executor: ProcessPoolExecutor, tmp_path: Path) -> None:
        future = executor.submit(mark_and_wait, str(tmp_path / "mark"))
        with pytest.raises(TimeoutError):
            future.result(0.05)
        with pytest.raises(TimeoutError):
            future.exception(0)
        begun(tmp_path / "mark")
        assert future.running()
        assert future.cancel()
        with pytest.raises(CancelledError):
            future.result()
