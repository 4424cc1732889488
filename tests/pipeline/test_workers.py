"""`Workers`: processes that are set up once, and serve many runs."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from stages import (
    Counting,
    always_fails,
    double,
    fail_on_seven,
    kill_on_seven,
    pid_of,
    same,
    sleep_on_seven,
)
from waiting import is_gone, wait_until

from conveyor import Failure, ItemTimeout, Pipeline, PipelineError, WorkerLost, Workers

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
each_method = pytest.mark.parametrize("method", METHODS)


class Tagged:
    """An object of the program's; says what it was when it came to a worker."""

    def __init__(self, tag: str) -> None:
        self.tag = tag

    def __call__(self, item: int) -> str:
        return f"{self.tag}{item}"


class Numbered:
    """Made in each worker; gives the number of items that it has seen."""

    def __init__(self) -> None:
        self.items = 0

    def setup(self) -> None:
        self.items = 0

    def __call__(self, _: int) -> tuple[int, int]:
        self.items += 1
        return os.getpid(), self.items


class BadEnd:
    def __call__(self, item: int) -> int:
        return item

    def teardown(self) -> None:
        raise ValueError("the device is gone")


class LongEnd:
    def __call__(self, item: int) -> int:
        return item

    def teardown(self) -> None:
        time.sleep(3600)


class Unhappy:
    def setup(self) -> None:
        raise ValueError("no licence")

    def __call__(self, item: int) -> int:
        return item


table: dict[str, int] = {}


def load_table() -> None:
    table["loads"] = table.get("loads", 0) + 1


def loads_of(_: int) -> int:
    return table["loads"]


def fail_to_load() -> None:
    raise OSError("no such disk")


def nested(item: int) -> int:
    with Workers(1) as inner:
        return sum(inner.map(double, range(item)))


def wait_for_release(path: str) -> str:
    Path(path, "at-it").touch()
    while not Path(path, "go").exists():
        time.sleep(0.01)
    return path


def traces(folder: Path, what: str) -> int:
    return len(list(folder.glob(f"{what}-*")))


@each_method
class TestManyRuns:
    def test_in_order_and_by_the_same_processes(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            for length in (0, 1, 100, 3000):
                assert workers.map(double, range(length)) == [2 * item for item in range(length)]
            there = set(workers.pids())
            assert 1 <= len(there) <= 2
            for _ in range(5):
                assert set(workers.map(pid_of, range(50))) <= there
            report = workers.run(Pipeline(range(9)).map(same).to(list))
            assert report.result == list(range(9))
            assert set(workers.pids()) == there
        assert all(is_gone(pid) for pid in there)

    def test_set_up_once_and_torn_down_at_the_end(self, method: Any, tmp_path: Path) -> None:
        with Workers(1, start_method=method) as workers:
            for _ in range(3):
                assert workers.map(Counting(str(tmp_path)), range(5)) == list(range(5))
                assert workers.map(same, range(5)) == list(range(5))
            assert traces(tmp_path, "setup") == 1
            assert traces(tmp_path, "teardown") == 0
        assert traces(tmp_path, "teardown") == 1

    def test_what_is_set_up_goes_on_as_it_was(self, method: Any) -> None:
        with Workers(1, start_method=method) as workers:
            first = workers.map(Numbered, range(3))
            second = workers.map(Numbered, range(3))
        pid = first[0][0]
        assert [*first, *second] == [(pid, number) for number in range(1, 7)]

    def test_an_object_that_was_changed(self, method: Any) -> None:
        tagged = Tagged("a")
        with Workers(1, start_method=method) as workers:
            assert workers.map(tagged, [1, 2]) == ["a1", "a2"]
            tagged.tag = "b"
            assert workers.map(tagged, [1, 2]) == ["b1", "b2"]
            tagged.tag = "a"
            assert workers.map(tagged, [1]) == ["a1"]

    def test_an_item_that_fails(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            for _ in range(3):
                with pytest.raises(KeyError, match="seven"):
                    workers.map(fail_on_seven, range(1000))
                assert workers.map(double, range(100)) == [2 * item for item in range(100)]

    def test_a_worker_that_dies_on_an_item(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            with pytest.raises(WorkerLost):
                workers.map(kill_on_seven, range(10))
            assert workers.map(double, range(100)) == [2 * item for item in range(100)]
            results = workers.map(kill_on_seven, range(10), on_error="yield")
            assert [result for result in results if not isinstance(result, Failure)] == [
                *range(7),
                8,
                9,
            ]
            assert isinstance(results[7], Failure)

    def test_workers_that_die_while_they_wait(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            for _ in range(3):
                assert workers.map(double, range(10)) == [2 * item for item in range(10)]
                for pid in workers.pids():
                    os.kill(pid, signal.SIGKILL)
            assert workers.map(double, range(10)) == [2 * item for item in range(10)]

    def test_a_time_limit(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            with pytest.raises(ItemTimeout):
                workers.map(sleep_on_seven, range(10), timeout=0.3)
            assert workers.map(sleep_on_seven, range(5), timeout=30) == list(range(5))

    def test_a_setup_that_fails(self, method: Any) -> None:
        with Workers(1, start_method=method) as workers:
            for _ in range(2):
                with pytest.raises(ValueError, match="no licence"):
                    workers.map(Unhappy, range(3))
            assert workers.map(double, [1]) == [2]

    def test_an_initializer(self, method: Any) -> None:
        with Workers(2, start_method=method, setup=load_table) as workers:
            for _ in range(3):
                assert set(workers.map(loads_of, range(30))) == {1}

    def test_an_initializer_that_fails(self, method: Any) -> None:
        with Workers(1, start_method=method, setup=fail_to_load) as workers:
            for _ in range(2):
                with pytest.raises(OSError, match="no such disk"):
                    workers.map(double, range(3))

    def test_a_worker_has_workers(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            assert workers.map(nested, [3, 4]) == [6, 12]

    def test_several_stages(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            pipeline = (
                Pipeline(range(200))
                .map(double, workers=1)
                .map(fail_on_seven, retries=1)
                .filter(bool, workers=1)
                .map(pid_of, threads=1)
                .to(list)
            )
            for _ in range(3):
                assert workers.run(pipeline).result == [os.getpid()] * 199
            assert len(workers.pids()) <= 4

    def test_results_one_by_one(self, method: Any) -> None:
        with Workers(2, start_method=method) as workers:
            taken = []
            for result in workers.imap(double, iter(range(10**9))):
                taken.append(result)
                if len(taken) == 1000:
                    break
            assert taken == [2 * item for item in range(1000)]
            assert workers.map(double, [4]) == [8]


class TestWhoDoesIt:
    def test_different_functions_share_the_processes(self) -> None:
        with Workers(2, start_method="fork") as workers:
            workers.map(pid_of, range(2000))
            there = set(workers.pids())
            for function in (same, double, fail_on_seven, Numbered, Tagged("x"), loads_of):
                assert workers.map(pid_of, range(10), name=str(function))
                workers.map(function, range(5)) if function is not loads_of else None
            assert set(workers.pids()) == there

    def test_more_functions_than_are_kept(self, tmp_path: Path) -> None:
        with Workers(1, start_method="fork") as workers:
            for number in range(20):
                (tmp_path / str(number)).mkdir()
                workers.map(Counting(str(tmp_path / str(number))), [1])
            assert traces(tmp_path / "0", "teardown") == 1
            assert traces(tmp_path / "19", "teardown") == 0
            workers.map(Counting(str(tmp_path / "0")), [1])
        assert all(traces(tmp_path / str(number), "teardown") == 1 for number in range(20))

    def test_a_lambda_is_a_copy_of_the_program_now(self) -> None:
        with Workers(2, start_method="fork") as workers:
            there = workers.map(pid_of, [1])
            factor = 3
            assert workers.map(lambda item: factor * item, range(4)) == [0, 3, 6, 9]
            factor = 5
            assert workers.map(lambda item: factor * item, range(4)) == [0, 5, 10, 15]
            assert workers.pids() == there

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_a_lambda_that_cannot_be_sent(self, method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cloudpickle", None)  # with which it could be
        with Workers(1, start_method=method) as workers:
            with pytest.raises(PipelineError, match="lambda"):
                workers.map(lambda item: item, [threading.Lock()])
            assert workers.map(double, [1]) == [2]

    def test_two_threads_at_a_time(self) -> None:
        results: dict[int, list[int]] = {}
        with Workers(2, start_method="fork") as workers:

            def work(number: int) -> None:
                for _ in range(20):
                    results[number] = workers.map(double, range(number, number + 300))

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert results == {number: [2 * item for item in range(number, number + 300)] for number in range(4)}

    def test_a_child_of_the_program_has_its_own(self) -> None:
        with Workers(1, start_method="fork") as workers:
            ours = workers.map(pid_of, [1])
            read, write = os.pipe()
            if not (child := os.fork()):
                try:
                    theirs = workers.map(pid_of, [1])
                    workers.close()
                    os.write(write, pickle.dumps(theirs))
                finally:
                    os._exit(0)
            os.close(write)
            with os.fdopen(read, "rb") as file:
                theirs = pickle.loads(file.read())
            os.waitpid(child, 0)
            assert theirs != ours
            assert is_gone(theirs[0])
            assert workers.map(pid_of, [1]) == ours


class TestIdle:
    @each_method
    def test_no_processor_time(self, method: Any) -> None:
        threads = threading.active_count()
        with Workers(2, start_method=method) as workers:
            workers.map(double, range(3000))
            pids = workers.pids()
            wait_until(lambda: all(state_of(pid) == "S" for pid in pids))
            before = [ticks_of(pid) for pid in pids]
            woken = sum(map(wake_ups_of, pids))
            time.sleep(1.0)  # the time that is measured
            assert [ticks_of(pid) for pid in pids] == before
            # Waits are cut into slices, ever longer ones; a loop that looks would do so hundreds of times.
            assert sum(map(wake_ups_of, pids)) - woken <= 20 * len(pids)
            assert threading.active_count() == threads
            assert workers.map(double, [1]) == [2]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def ticks_of(pid: int) -> list[str]:
    """Processor time, in hundredths of a second."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:13]


def wake_ups_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))


class TestTheirEnd:
    def test_closed(self) -> None:
        workers = Workers(1)
        workers.map(double, [1])
        workers.close()
        workers.close()
        for call in (
            lambda: workers.map(double, [1]),
            lambda: workers.run(Pipeline([1]).map(double)),
            lambda: workers.stream(Pipeline([1]).map(double)),
        ):
            with pytest.raises(PipelineError, match="closed"):
                call()

    def test_a_teardown_that_fails(self) -> None:
        workers = Workers(1)
        workers.map(BadEnd(), [1])
        with pytest.raises(ValueError, match="the device is gone") as caught:
            workers.close()
        assert "teardown" in caught.value.__notes__[-1]
        assert workers.pids() == []

    def test_a_teardown_that_takes_too_long(self) -> None:
        workers = Workers(1)
        workers.map(LongEnd(), [1])
        (pid,) = workers.pids()
        with pytest.raises(PipelineError, match=r"within 0\.2 s"):
            workers.close(timeout=0.2)
        assert is_gone(pid)

    def test_what_the_block_raised_is_the_news(self) -> None:
        with pytest.raises(KeyError) as caught, Workers(1) as workers:
            workers.map(BadEnd(), [1])
            raise KeyError("mine")
        assert "device is gone" in caught.value.__notes__[-1]

    def test_a_run_that_is_under_way(self, tmp_path: Path) -> None:
        raised: list[BaseException] = []
        workers = Workers(1, start_method="fork")

        def work() -> None:
            try:
                workers.map(wait_for_release, [str(tmp_path)])
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: (tmp_path / "at-it").exists())
        workers.close()
        thread.join(30)
        assert isinstance(raised[0], PipelineError)
        assert "closed" in str(raised[0])

    def test_results_that_nobody_takes(self) -> None:
        workers = Workers(1, start_method="fork")
        results = workers.imap(double, iter(range(10**9)))
        assert next(results) == 0
        workers.close(timeout=20)
        with pytest.raises(PipelineError, match="closed"):
            list(results)

    def test_forgotten(self, tmp_path: Path) -> None:
        workers = Workers(1)
        workers.map(Counting(str(tmp_path)), [1])
        pids = workers.pids()
        del workers
        assert traces(tmp_path, "teardown") == 1
        assert all(is_gone(pid) for pid in pids)


class TestMistakes:
    @pytest.mark.parametrize("count", [0, -1])
    def test_the_count(self, count: int) -> None:
        with pytest.raises(PipelineError, match=f"count of Workers is {count}"):
            Workers(count)

    def test_arguments(self) -> None:
        with pytest.raises(TypeError, match="must be an integer"):
            Workers("4")  # type: ignore[arg-type]
        with pytest.raises(PipelineError, match="'fork', 'spawn' or 'forkserver'"):
            Workers(1, start_method="threads")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="setup= of Workers"):
            Workers(1, setup=3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="name of Workers"):
            Workers(1, name="")

    def test_calls(self) -> None:
        with Workers(1) as workers:
            with pytest.raises(TypeError, match="unexpected keyword argument 'chunksize'"):
                workers.map(double, [1], chunksize=4)
            with pytest.raises(TypeError, match="unexpected keyword argument 'start_method'"):
                workers.run(Pipeline([1]).map(double), start_method="spawn")
            with pytest.raises(PipelineError, match="threads=2"):
                workers.map(double, [1], threads=2)
            with pytest.raises(TypeError, match="Workers run a Pipeline"):
                workers.run(double)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="no 1"):
                workers.map(always_fails, [1])
            with pytest.raises(TypeError, match="cannot be sent"):
                pickle.dumps(workers)

    def test_an_initializer_that_cannot_be_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
        workers = Workers(1, start_method="spawn", setup=lambda: None)
        with workers, pytest.raises(PipelineError, match="setup= of Workers"):
            workers.map(double, [1])
