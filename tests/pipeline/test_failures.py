"""Items that fail, workers that die, and workers that are stuck."""

from __future__ import annotations

import copyreg
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from stages import (
    FailsTimes,
    Gate,
    Picky,
    SetupFails,
    always_fails,
    async_sleep_on_seven,
    exit_on_seven,
    fail_on_seven,
    kill_on_seven,
    raises_picky,
    same,
    sleep_on_seven,
)
from waiting import is_gone, wait_until

from conveyor import (
    DeadLetter,
    Failure,
    ItemTimeout,
    Pipeline,
    Queue,
    SharedArray,
    StageError,
    TooManyFailures,
    WorkerLost,
)

METHODS = ["fork", "spawn", "forkserver"]
WITHOUT_SEVEN = [number for number in range(30) if number != 7]


@pytest.mark.parametrize("method", METHODS)
class TestExceptions:
    def test_the_original_type_with_the_remote_traceback_and_the_item(self, method: Any) -> None:
        with pytest.raises(KeyError, match="seven") as caught:
            Pipeline(range(30)).map(fail_on_seven, workers=2).run(start_method=method)
        (note,) = caught.value.__notes__
        assert "stage 'fail_on_seven'" in note
        assert "on item 7" in note
        assert note.endswith(": 7")
        assert 'raise KeyError("seven")' in str(caught.value.__cause__)
        assert "stages.py" in str(caught.value.__cause__)
        assert caught.value.report.failures == 1  # type: ignore[attr-defined]

    def test_skip(self, method: Any) -> None:
        stage = Pipeline(range(30)).map(fail_on_seven, workers=2, on_error="skip", ordered=True)
        report = stage.to(list).run(start_method=method)
        assert report.result == WITHOUT_SEVEN
        assert (report.failures, report.results) == (1, 29)
        assert str(report.first_failures[0]).startswith("KeyError: 'seven'")

    def test_a_killed_worker_costs_its_item_only(self, method: Any) -> None:
        stage = Pipeline(range(30)).map(kill_on_seven, workers=2, on_error="dead_letter", ordered=True)
        report = stage.to(list).run(start_method=method)
        assert report.result == WITHOUT_SEVEN
        (letter,) = report.dead_letters
        assert (letter.item, letter.attempts) == (7, 1)
        assert "SIGKILL" in letter.error
        assert report.stages[1].deaths == 1

    def test_a_worker_that_exits(self, method: Any) -> None:
        with pytest.raises(WorkerLost, match="exited with status 3") as caught:
            Pipeline(range(30)).map(exit_on_seven, workers=2).run(start_method=method)
        assert caught.value.exitcode == 3
        assert "on item 7" in caught.value.__notes__[0]

    def test_an_item_that_takes_too_long_costs_that_item_only(self, method: Any) -> None:
        stage = Pipeline(range(30)).map(sleep_on_seven, workers=2, timeout=0.3, on_error="skip", ordered=True)
        report = stage.to(list).run(start_method=method)
        assert report.result == WITHOUT_SEVEN
        assert report.first_failures[0].kind == "ItemTimeout"
        assert report.stages[1].deaths == 0

    @pytest.mark.parametrize("how", ["raise", "kill"])
    def test_retries(self, method: Any, how: str, tmp_path: Path) -> None:
        flaky = FailsTimes(str(tmp_path), 2, how)
        stage = Pipeline(range(5)).map(flaky, workers=2, retries=2, backoff=0.01, ordered=True)
        report = stage.to(list).run(start_method=method)
        assert report.result == list(range(5))
        assert (report.retries, report.failures) == (10, 0)

    def test_setup_that_fails(self, method: Any) -> None:
        with pytest.raises(ConnectionError, match="no database") as caught:
            Pipeline(range(30)).map(SetupFails(), workers=2).run(start_method=method)
        assert "setup of a worker of stage 'SetupFails'" in caught.value.__notes__[0]


class TestPolicies:
    def test_too_few_retries(self, tmp_path: Path) -> None:
        flaky = FailsTimes(str(tmp_path), 3)
        with pytest.raises(OSError, match="attempt 2") as caught:
            Pipeline([1]).map(flaky, workers=1, retries=2, backoff=0).run()
        assert "tried 3 times" in caught.value.__notes__[0]

    def test_a_function_is_told(self) -> None:
        told: list[Failure] = []
        Pipeline(range(30)).map(fail_on_seven, workers=2, on_error=told.append).run()
        (failure,) = told
        assert (failure.stage, failure.number, failure.item, failure.attempts) == ("fail_on_seven", 7, 7, 1)
        assert failure.kind == "KeyError"
        assert failure.where.startswith("stages.py:")
        assert isinstance(failure.exception(), KeyError)

    def test_what_that_function_raises_ends_the_run(self) -> None:
        def refuse(failure: Failure) -> None:
            raise RuntimeError("not with me")

        with pytest.raises(RuntimeError, match="not with me"):
            Pipeline(range(30)).map(fail_on_seven, workers=2, on_error=refuse).run()

    def test_values_or_failures(self) -> None:
        stages = Pipeline(range(10), ordered=True).map(fail_on_seven, workers=2).map(same, workers=1).batch(3)
        outcomes = list(stages.stream(outcomes=True))
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        assert [failure.item for failure in failures] == [7]
        values = [value for outcome in outcomes if not isinstance(outcome, Failure) for value in outcome]
        assert sorted(values) == [0, 1, 2, 3, 4, 5, 6, 8, 9]

    def test_an_outcome_has_its_place(self) -> None:
        outcomes = list(Pipeline(range(10), ordered=True).map(fail_on_seven, workers=2).stream(outcomes=True))
        assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Failure)] == [7]

    @pytest.mark.parametrize("into", ["queue", "list"])
    def test_dead_letters_where_they_are_wanted(self, into: str) -> None:
        queue: Queue[DeadLetter[int]] = Queue()
        letters: list[DeadLetter[int]] = []
        target: Any = queue if into == "queue" else letters
        report = (
            Pipeline(range(30)).map(fail_on_seven, workers=2, on_error="dead_letter").run(dead_letters=target)
        )
        letter = queue.get(timeout=10) if into == "queue" else letters[0]
        assert (letter.item, report.dead, report.dead_letters) == (7, 1, ())

    @pytest.mark.parametrize("most", [5, "10%"])
    def test_max_failures(self, most: Any) -> None:
        with pytest.raises(TooManyFailures, match="max_failures is") as caught:
            Pipeline(range(1000)).map(always_fails, workers=2, on_error="skip").run(max_failures=most)
        assert isinstance(caught.value.__cause__, ValueError)
        report = Pipeline(range(30)).map(fail_on_seven, workers=2, on_error="skip").run(max_failures=most)
        assert report.failures == 1

    def test_an_exception_that_cannot_be_made_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(
            copyreg.dispatch_table, Picky, raising=False
        )  # some libraries teach pickle to make any
        with pytest.raises(StageError, match=r"Picky: 1 and 1") as caught:
            Pipeline([1]).map(raises_picky, workers=1).run()
        assert "Picky" in str(caught.value.__cause__)
        with pytest.raises(Picky):  # it never left this process
            raise Picky(1, 2)

    def test_halt_soon_finishes_what_was_begun(self, tmp_path: Path) -> None:
        gate = Gate(str(tmp_path))

        def fail_then_open(failure: Failure) -> None:
            (tmp_path / "open").touch()

        seen: list[int] = []
        stages = Pipeline([1]).map(always_fails, threads=1, on_error=fail_then_open).run()
        assert stages.failures == 1
        with pytest.raises(ValueError, match="no 5"):
            Pipeline([1, 2, 5]).map(gate, threads=1, ordered=True).tee(seen).map(
                lambda item: always_fails(item) if item == 5 else item, threads=1
            ).run(halt="soon")
        assert seen == [1, 2, 5]

    def test_threads_and_coroutines_fail_like_processes(self) -> None:
        for options in ({"threads": 2}, {"workers": 2}):
            report = Pipeline(range(30)).map(fail_on_seven, on_error="skip", **options).run()  # type: ignore[arg-type]
            assert (report.failures, report.results) == (1, 29)

    def test_a_stuck_thread_is_left_behind_and_a_stuck_coroutine_cancelled(self) -> None:
        stage = Pipeline(range(30)).map(async_sleep_on_seven, timeout=0.2, on_error="skip", concurrency=3)
        report = stage.to(set).run()
        assert report.result == set(WITHOUT_SEVEN)
        release = threading.Event()

        def stuck(item: int) -> int:
            if item == 7:
                release.wait(60)
            return item

        report = Pipeline(range(30)).map(stuck, threads=2, timeout=0.2, on_error="skip").to(set).run()
        assert report.result == set(WITHOUT_SEVEN)
        release.set()

    def test_a_timeout_raises_its_own_error(self) -> None:
        with pytest.raises(ItemTimeout, match=r"longer than 0\.2 s"):
            Pipeline(range(10)).map(sleep_on_seven, workers=1, timeout=0.2).run()

    def test_keyed_items_are_retried_in_order(self, tmp_path: Path) -> None:
        flaky = FailsTimes(str(tmp_path), 1)
        stage = Pipeline(range(40)).map(flaky, workers=2, key=lambda item: item % 2, retries=1, backoff=0.0)
        results = list(stage.stream())
        for part in (0, 1):
            assert [item for item in results if item % 2 == part] == list(range(part, 40, 2))

    def test_a_key_that_cannot_be_had(self) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            Pipeline([[1]]).map(same, workers=2, key=lambda item: item).run()


class TestDeathsFromOutside:
    def test_workers_killed_again_and_again_lose_nothing_under_retries(self, tmp_path: Path) -> None:
        killed = 0
        results: list[int] = []
        stream = Pipeline(range(4000), ordered=True).map(slow_pid, workers=3, retries=50, backoff=0).stream()
        for number, pid in stream:  # type: ignore[misc]
            results.append(number)
            if number % 400 == 5:
                killed += 1
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    killed -= 1
        assert results == list(range(4000))
        assert killed >= 3

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("thread", [True])  # of the main thread's: test_deaths.py
    def test_the_death_of_the_parent_ends_all_children(
        self, method: str, thread: bool, tmp_path: Path
    ) -> None:
        parent = subprocess.Popen([sys.executable, __file__, str(tmp_path), method, str(thread)])
        try:
            wait_until(lambda: len(list(tmp_path.glob("begun-?"))) >= 2)
            workers = [int(path.read_text()) for path in tmp_path.glob("begun-?")]
            assert parent.pid not in workers
        finally:
            parent.kill()
            parent.wait()
        wait_until(lambda: all(map(is_gone, workers)))

    def test_a_stopped_worker_is_timed_out(self) -> None:
        stage = Pipeline(range(20)).map(stop_on_seven, workers=2, timeout=0.3, on_error="skip").to(set)
        assert stage.run().result == {number for number in range(20) if number != 7}


def slow_pid(item: int) -> tuple[int, int]:
    sum(range(2000))
    return item, os.getpid()


def stop_on_seven(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGSTOP)
    return item


def parent_to_be_killed(folder: str, method: Any, thread: str) -> None:
    run = Pipeline(range(10)).map(Gate(folder), workers=2).run
    if thread == "True":
        threading.Thread(target=run, kwargs={"start_method": method}).start()
    else:
        run(start_method=method)


if __name__ == "__main__":
    parent_to_be_killed(*sys.argv[1:])


NO_MEMORY = """
import resource
from conveyor import Pipeline
from conveyor.pipeline import Failure

def same(item):
    return item if isinstance(item, int) else -1

if __name__ == "__main__":
    big = bytes(600_000_000)
    items = [*range(3000), big, *range(3001, 6000)]
    with open("/proc/self/status") as status:
        used = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
    resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000,) * 2)
    found = list(Pipeline(items).map(same, workers=2, ordered={ordered}).stream(outcomes=True))
    failures = [one for one in found if isinstance(one, Failure)]
    assert len(failures) == 1 and failures[0].number == 3000 and "no memory" in str(failures[0]), failures
    assert [one for one in found if not isinstance(one, Failure)] != [], found
    numbers = [one for one in found if isinstance(one, int)]
    assert (numbers if {ordered} else sorted(numbers)) == [n for n in range(6000) if n != 3000]
    print("fine")
"""


@pytest.mark.parametrize("ordered", [True, False])
def test_one_among_many_for_which_there_is_no_memory(ordered: bool, tmp_path: Path) -> None:
    """Those before it in its portion have been sent, and are not sent again."""
    program = tmp_path / "program.py"
    program.write_text(NO_MEMORY.replace("{ordered}", str(ordered)))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("fine", "")


@pytest.mark.parametrize("ordered", [True, False])
def test_nothing_is_begun_after_a_failure_that_ends_the_run_soon(ordered: bool) -> None:
    """Not even what stands behind it in the same portion."""
    begun = SharedArray((3000,), "u1")
    items: list[Any] = [*range(2000), lambda: None, *range(2001, 3000)]

    def mark(item: int) -> None:
        begun[item] = 1

    with pytest.raises(AttributeError, match="pickle"):
        Pipeline(items).map(mark, workers=1, ordered=ordered).run(start_method="fork", halt="soon")
    assert not begun[2000:].any()
