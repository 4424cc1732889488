"""Workers that die: what is told of it, what becomes of items and of their order, and that nothing is left behind."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from stages import (
    DiesFourTimes,
    always_dies,
    exit_on_seven,
    kill_on_seven,
    same,
    span,
)
from waiting import is_gone, wait_until

from conveyor import Pipeline, WorkerPoolBroken
from conveyor._control_groups import ControlGroup
from conveyor.pipeline import CrashLoop, Failure, PipelineRun, WorkerDied, describe_exit
from conveyor.pipeline.supervise.exit_cause import LikelyCause

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
class TestOrder:
    def test_it_is_kept_when_workers_die_and_items_are_retried(self, method: Any, tmp_path: Path) -> None:
        mortal = DiesFourTimes(str(tmp_path))
        stage = Pipeline(range(100)).map(mortal, workers=3, ordered=True, retries=1, backoff=0.0)
        report = stage.map(same, workers=1, ordered=True).to(list).run(start_method=method)
        assert report.result == list(range(100))
        assert (report.retries, report.failures, report.stages[1].deaths) == (4, 0, 4)

    def test_failures_keep_their_place(self, method: Any) -> None:
        outcomes = list(
            Pipeline(range(30), ordered=True)
            .map(kill_on_seven, workers=2)
            .map(same, workers=1)
            .stream(outcomes=True, start_method=method)
        )
        assert [value if not isinstance(value, Failure) else "x" for value in outcomes] == [
            number if number != 7 else "x" for number in range(30)
        ]

    def test_a_key_keeps_its_order_when_its_worker_dies(self, method: Any, tmp_path: Path) -> None:
        mortal = DiesFourTimes(str(tmp_path))
        stage = Pipeline(range(100)).map(mortal, workers=2, key=last_bit, retries=1, backoff=0.0)
        results = list(stage.stream(start_method=method))
        for bit in (0, 1):
            assert [item for item in results if item % 2 == bit] == list(range(bit, 100, 2))


def last_bit(item: int) -> int:
    return item % 2


class TestCauses:
    """Each death is told with stage, process, signal or status, likely cause, and item."""

    @staticmethod
    def death(pipeline: Pipeline[Any], method: Any) -> WorkerDied:
        running = PipelineRun(pipeline, start_method=method)
        (died,) = [event for event in running.events() if isinstance(event, WorkerDied)]
        assert died.pid > 1
        assert died.stage == "mine"
        assert (died.number, died.item) == (7, 7)
        (failure,) = running.report().first_failures
        assert (failure.stage, failure.item, failure.pid) == ("mine", 7, died.pid)
        assert died.reason in failure.message
        return died

    @pytest.mark.parametrize("method", METHODS)
    def test_a_signal(self, method: Any) -> None:
        stage = Pipeline(range(20)).map(kill_on_seven, workers=1, on_error="skip", name="mine")
        died = self.death(stage, method)
        assert died.exitcode == -signal.SIGKILL
        assert died.reason.startswith("killed by SIGKILL")

    @pytest.mark.parametrize("method", METHODS)
    def test_an_exit(self, method: Any) -> None:
        stage = Pipeline(range(20)).map(exit_on_seven, workers=1, on_error="skip", name="mine")
        died = self.death(stage, method)
        assert (died.exitcode, died.reason) == (3, "exited with status 3")

    def test_its_cpu_time_limit(self) -> None:
        stage = Pipeline(range(20)).map(burns_on_seven, workers=1, on_error="skip", name="mine")
        died = self.death(stage, "fork")
        assert died.exitcode == -signal.SIGXCPU
        assert "CPU time limit" in died.reason

    @pytest.mark.parametrize("method", METHODS)
    def test_a_stage_that_shares_the_workers_of_the_one_before(self, method: Any) -> None:
        stages = Pipeline(range(20)).map(same, workers=1).map(kill_on_seven, on_error="skip", name="mine")
        assert "SIGKILL" in self.death(stages, method).reason

    def test_native_code_that_crashes_is_placed(self) -> None:
        stage = Pipeline(range(20)).map(crash_on_seven, workers=1, on_error="skip", name="mine")
        died = self.death(stage, "spawn")  # a copy of this process has pytest's arrangements
        assert died.exitcode == -signal.SIGSEGV
        assert any(call.startswith("test_deaths.py:") and "crash_on_seven" in call for call in died.calls)

    def test_the_texts(self) -> None:
        assert describe_exit(-9, "because") == "killed by SIGKILL (because)"
        assert describe_exit(-63) == "killed by signal 63"

    @pytest.mark.parametrize(
        ("version", "name", "text"),
        [
            (2, "memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"),
            (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
        ],
    )
    def test_the_control_groups_count_of_kills(
        self, version: Literal[1, 2], name: str, text: str, tmp_path: Path
    ) -> None:
        file = tmp_path / name
        file.write_text(text.format(3))
        likely = LikelyCause(ControlGroup(version, tmp_path))
        assert likely.of(-signal.SIGKILL) == ""
        file.write_text(text.format(4))
        assert likely.of(-signal.SIGTERM) == ""
        assert "out of memory" in likely.of(-signal.SIGKILL)
        assert likely.of(-signal.SIGKILL) == ""  # the next one was not for memory


def burns_on_seven(item: int) -> int:
    if item == 7:
        resource.setrlimit(resource.RLIMIT_CPU, (int(sum(os.times()[:2])) + 1, resource.RLIM_INFINITY))
        while True:
            pass
    return item


def crash_on_seven(item: int) -> int:
    if item == 7:
        import ctypes

        ctypes.string_at(0)
    return item


GROUPS = Path("/sys/fs/cgroup/memory")
if os.access(GROUPS / "cgroup.procs", os.W_OK) and (GROUPS / "memory.oom_control").exists():

    @pytest.mark.parametrize("method", METHODS)
    def test_the_kernel_kills_for_memory(method: str) -> None:
        """For real, where a control group can be made (its first version, as root)."""
        group = GROUPS / f"conveyor-test-{os.getpid()}"
        group.mkdir()
        try:
            (group / "memory.limit_in_bytes").write_text(str(192 << 20))
            done = subprocess.run(
                [sys.executable, __file__, str(group), method],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            wait_until(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()
        assert "SIGKILL (out of memory: the control group's limit was reached)" in done.stdout, done.stderr
        assert "19 results" in done.stdout


def eat_on_seven(item: int) -> int:
    if item == 7:
        Path("/proc/self/oom_score_adj").write_text("1000")
        eaten = [bytearray(os.urandom(1 << 20)) for _ in range(512)]
        return len(eaten)
    return item


@pytest.mark.parametrize("method", METHODS)
class TestCrashLoops:
    def test_they_end_with_a_verdict(self, method: Any) -> None:
        running = PipelineRun(
            Pipeline(range(100)).map(always_dies, workers=1, on_error="skip"),
            start_method=method,
            crash_limit=4,
        )
        told: list[CrashLoop] = []
        with pytest.raises(WorkerPoolBroken, match=r"4 workers of stage 'always_dies' died .* SIGKILL"):
            told += [event for event in running.events() if isinstance(event, CrashLoop)]
        report = running.report()
        assert report.stages[1].deaths == 4
        assert len(report.stages[1].workers) == 4


class TestManyDeaths:
    @pytest.mark.parametrize("method", METHODS)
    def test_at_random_moments_nothing_is_lost_and_nothing_twice(self, method: Any) -> None:
        stage = Pipeline(range(6000)).map(same_with_pid, workers=3, retries=100, backoff=0.0, on_error="stop")
        running = PipelineRun(stage.flat_map(thrice_first, workers=1).to(list), start_method=method)
        generator = random.Random(5)
        ended = threading.Event()
        killed = 0

        def kill() -> None:
            nonlocal killed
            while killed < 6 and not ended.wait(generator.uniform(0.0, 0.03)):
                hands = [hand for hand in list(running.engine.works[0].pool.handles) if hand.ready]
                if hands:
                    try:
                        os.kill(generator.choice(hands).pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    killed += 1

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            report = running.to_the_end()
        finally:
            ended.set()
            thread.join()
        assert Counter(report.result) == Counter(range(6000)) + Counter(range(6000)) + Counter(range(6000))
        assert report.stages[1].deaths >= 1
        assert report.failures == 0

    @pytest.mark.parametrize("method", METHODS)
    def test_an_item_with_very_many_results_dies_halfway(self, method: Any, tmp_path: Path) -> None:
        """What was handed out is not handed out again, and the item counts as failed."""
        outcomes = list(
            Pipeline([2000, 5000, 3000], ordered=True)
            .flat_map(DiesHalfway(str(tmp_path)), workers=1, retries=3)
            .stream(outcomes=True, start_method=method)
        )
        failures = [value for value in outcomes if isinstance(value, Failure)]
        values = [value for value in outcomes if not isinstance(value, Failure)]
        assert len(values) == len(set(values))
        whole = [value for count in (2000, 3000) for value in span(count)]
        if failures:
            assert [failure.item for failure in failures] == [5000]
            assert set(whole) <= set(values)
        else:  # it died before anything of it was handed out, so it was tried again
            assert values == [*span(2000), *span(5000), *span(3000)]


class DiesHalfway:
    """Dies in the middle of the item 5000, once."""

    def __init__(self, folder: str) -> None:
        self.mark = Path(folder, "died")

    def __call__(self, item: int) -> Any:
        for number, value in enumerate(span(item)):
            if item == 5000 and number == 2500 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield value


def same_with_pid(item: int) -> int:
    sum(range(500))
    return item


def thrice_first(item: int) -> tuple[int, int, int]:
    return item, item, item


class TestTheParentsDeath:
    @pytest.mark.parametrize("method", METHODS)
    def test_leaves_no_process_no_zombie_and_no_segment(self, method: str, tmp_path: Path) -> None:
        segments = set(os.listdir("/dev/shm"))  # noqa: PTH208
        parent = subprocess.Popen(
            [sys.executable, __file__, "parent", method, str(tmp_path)], start_new_session=True
        )
        try:
            wait_until(lambda: len(list(tmp_path.glob("begun-?"))) >= 2)
            family = descendants(parent.pid)
            assert len(family) >= 2
        finally:
            parent.kill()
            parent.wait()
        wait_until(lambda: all(map(is_gone, family)))
        left = {name for name in set(os.listdir("/dev/shm")) - segments if str(parent.pid) in name}  # noqa: PTH208
        assert not left


def descendants(pid: int) -> list[int]:
    """All processes below that one: workers, and the helpers of multiprocessing."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for word in listing.read_text().split():
            found += [int(word), *descendants(int(word))]
    return found


def main(words: list[str]) -> None:
    if words[0] == "parent":
        from stages import Gate

        Pipeline(range(10)).map(Gate(words[2]), workers=2).run(start_method=words[1])  # type: ignore[arg-type]
        return
    Path(words[0], "cgroup.procs").write_text(str(os.getpid()))
    stage = Pipeline(range(20)).map(eat_on_seven, workers=1, on_error="skip").to(list)
    report = stage.run(start_method=words[1])  # type: ignore[arg-type]
    print(report)


if __name__ == "__main__":
    main(sys.argv[1:])
