"""`teardown()`: when it runs, for how long, and what becomes of what it raises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from living import (
    Living,
    die,
    exit_with_nine,
    fail_on_three,
    hang,
    hang_in_loop,
    hang_on_two_fail_on_three,
    leave,
    living,
    open_gate,
    raise_what_is_large,
    refuse,
    take_a_little,
    take_six_seconds,
    traces,
    wait_at_gate,
)
from stages import same, slow_item
from waiting import wait_until

from conveyor import Pipeline, WorkerLost, WorkerTimeout

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
WORKERS: list[dict[str, Any]] = [{"workers": 2}, {"threads": 2}, {"concurrency": 2}]


class TestThatFails:
    @pytest.mark.parametrize("where", WORKERS)
    def test_is_an_error_of_the_run_which_has_done_all(self, where: dict[str, Any], tmp_path: Path) -> None:
        results: list[int] = []
        stage = Pipeline(range(20)).map(living(where, tmp_path, teardown=refuse), name="mine", **where)
        with pytest.raises(PermissionError, match="not me") as caught:
            stage.to(results).run()
        assert sorted(results) == list(range(20))
        assert caught.value.__notes__ == ["in the teardown of a worker of stage 'mine'"]
        assert "in refuse" in str(caught.value.__cause__)
        report = caught.value.report  # type: ignore[attr-defined]
        assert (report.results, report.in_flight) == (20, 0)
        assert {worker.end for worker in report.stages[1].workers} == {"its teardown failed"}

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("way", [refuse, exit_with_nine])
    def test_in_processes_of_every_kind(self, method: Any, way: Any, tmp_path: Path) -> None:
        stage = Pipeline([1]).map(Living(tmp_path, teardown=way), workers=1)
        with pytest.raises((PermissionError, SystemExit)) as caught:
            list(stage.stream(start_method=method))
        assert "in the teardown" in caught.value.__notes__[0]

    @pytest.mark.parametrize(
        ("way", "how"), [(leave, "exited with status 0"), (die, "was killed by SIGKILL")]
    )
    def test_or_ends_its_process(self, way: Any, how: str, tmp_path: Path) -> None:
        with pytest.raises(WorkerLost, match=rf"{how}.* in its teardown"):
            Pipeline([1]).map(Living(tmp_path, teardown=way), workers=1).run()

    @pytest.mark.parametrize("where", WORKERS)
    def test_or_carries_very_much(self, where: dict[str, Any], tmp_path: Path) -> None:
        stage = living(where, tmp_path, teardown=raise_what_is_large)
        with pytest.raises(ValueError, match="xxx") as caught:
            Pipeline([1]).map(stage, **where).run()
        assert len(caught.value.args[0]) == 257 * 2**20

    def test_of_a_stage_that_is_through_before_the_others(self, tmp_path: Path) -> None:
        stage = (
            Pipeline(range(100)).map(Living(tmp_path, teardown=refuse), workers=1).map(slow_item, workers=1)
        )
        results: list[int] = []
        with pytest.raises(PermissionError):
            stage.to(results).run()
        assert sorted(results) == list(range(100))

    def test_beside_an_item_that_failed_is_named_with_it(self, tmp_path: Path) -> None:
        stage = Living(tmp_path, item=fail_on_three, teardown=refuse)
        with pytest.raises(KeyError, match="three") as caught:
            Pipeline(range(5)).map(stage, workers=1).run()
        assert any("PermissionError: not me" in note for note in caught.value.__notes__)

    def test_after_the_loop_was_left(self, tmp_path: Path) -> None:
        values = Pipeline(range(1000)).map(Living(tmp_path, teardown=refuse), workers=1).stream()
        next(values)
        with pytest.raises(PermissionError):
            values.close()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("where", WORKERS[:2])
    def test_does_not_keep_others_of_the_worker_from_theirs(
        self, where: dict[str, Any], tmp_path: Path
    ) -> None:
        first, second, third = (tmp_path / name for name in "abc")
        for folder in (first, second, third):
            folder.mkdir()
        stages = Pipeline(range(3)).map(Living(first, teardown=refuse), name="first", **where)
        with pytest.raises(PermissionError) as caught:
            stages.map(Living(second, teardown=refuse), name="second").map(Living(third)).run()
        assert "'first'" in caught.value.__notes__[0]  # what the first still has goes through the others
        assert traces(first, "teardown") == traces(second, "teardown") == traces(third, "teardown") > 0


class TestThatTakesLong:
    @pytest.mark.parametrize("where", WORKERS)
    def test_is_waited_for(self, where: dict[str, Any], tmp_path: Path) -> None:
        stage = living(where, tmp_path, teardown=take_six_seconds)
        report = Pipeline([1]).map(stage, **where).to(list).run()
        assert report.result == [1]
        (worker,) = report.stages[1].workers
        assert worker.end == ""
        assert worker.died is not None
        assert worker.died - worker.born > 6

    @pytest.mark.parametrize(
        ("where", "way"),
        [({"workers": 1}, hang), ({"threads": 1}, wait_at_gate), ({"concurrency": 1}, hang_in_loop)],
    )
    def test_is_an_error_where_it_may_not(self, where: dict[str, Any], way: Any, tmp_path: Path) -> None:
        stage = living(where, tmp_path, teardown=way)
        try:
            with pytest.raises(WorkerTimeout, match=r"teardown\(\) took longer than 0\.3 s") as caught:
                Pipeline([1]).map(stage, name="mine", teardown_timeout=0.3, **where).run()
        finally:
            open_gate()
        assert caught.value.__notes__ == ["in the teardown of a worker of stage 'mine'"]

    def test_is_ended_by_the_second_interrupt(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(INTERRUPTED.format(folder=str(tmp_path)))
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        process = subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE, env=env)
        assert process.stderr is not None
        try:
            wait_until(lambda: traces(tmp_path, "teardown"))
            process.send_signal(signal.SIGINT)
            assert b"Ctrl-C again stops now" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == -signal.SIGINT
        finally:
            process.kill()
            process.communicate()


INTERRUPTED = """
from pathlib import Path
from conveyor import Pipeline
from living import Living, hang

Pipeline([1]).map(Living(Path({folder!r}), teardown=hang), workers=1).run()
"""


class TestWhenTheRunIsCutShort:
    @pytest.mark.parametrize("where", WORKERS)
    @pytest.mark.parametrize("halt", ["now", "soon"])
    def test_by_an_item_that_failed(self, where: dict[str, Any], halt: Any, tmp_path: Path) -> None:
        stage = living(where, tmp_path, item=fail_on_three)
        with pytest.raises(KeyError):
            Pipeline(range(50)).map(stage, **where).run(halt=halt)
        assert traces(tmp_path, "teardown") == traces(tmp_path, "setup") > 0

    @pytest.mark.parametrize("method", METHODS)
    def test_in_processes_of_every_kind(self, method: Any, tmp_path: Path) -> None:
        with pytest.raises(KeyError):
            Pipeline(range(50)).map(Living(tmp_path, item=fail_on_three), workers=2).run(start_method=method)
        assert traces(tmp_path, "teardown") == traces(tmp_path, "setup") > 0

    def test_while_another_is_at_a_long_item(self, tmp_path: Path) -> None:
        """That one is killed, and has none."""
        began = time.monotonic()
        with pytest.raises(KeyError):
            Pipeline([2, 3]).map(Living(tmp_path, item=hang_on_two_fail_on_three), workers=2).run()
        assert traces(tmp_path, "teardown") == 1
        assert time.monotonic() - began < 30

    @pytest.mark.parametrize("where", WORKERS)
    def test_by_leaving_the_loop(self, where: dict[str, Any], tmp_path: Path) -> None:
        for item in Pipeline(range(10_000)).map(living(where, tmp_path), **where).stream():
            assert item < 10_000
            break
        wait_until(lambda: traces(tmp_path, "teardown") == traces(tmp_path, "setup") > 0)

    def test_by_what_the_end_raises(self, tmp_path: Path) -> None:
        seen: list[int] = []

        def see(item: int) -> None:
            seen.append(item)
            if item == 5:
                raise EOFError("enough")

        with pytest.raises(EOFError, match="enough"):
            Pipeline(range(50), ordered=True).map(Living(tmp_path, item=take_a_little), workers=2).to(
                see
            ).run()
        assert seen == list(range(6))  # it is not called again
        assert traces(tmp_path, "teardown") == traces(tmp_path, "setup") > 0

    def test_by_what_the_source_raises(self, tmp_path: Path) -> None:
        def source() -> Any:
            yield 1
            raise EOFError("the source")

        with pytest.raises(EOFError, match="the source"):
            Pipeline(source).map(Living(tmp_path), workers=1).run()
        assert traces(tmp_path, "teardown") == 1

    def test_by_an_interrupt(self, tmp_path: Path) -> None:
        def interrupt(item: int) -> None:
            if item == 5:
                os.kill(os.getpid(), signal.SIGINT)

        stage = Pipeline(range(1000), ordered=True).map(Living(tmp_path, item=take_a_little), workers=2)
        assert stage.to(interrupt).run().interrupted == "SIGINT"
        assert traces(tmp_path, "teardown") == traces(tmp_path, "setup") > 0

    def test_not_where_another_stage_could_not_be_set_up(self, tmp_path: Path) -> None:
        """Of one worker: those are torn down whose setup was done, and no others."""
        first, second, third = (tmp_path / name for name in "abc")
        for folder in (first, second, third):
            folder.mkdir()
        stages = Pipeline([1]).map(Living(first), workers=1).map(Living(second, setup=refuse))
        with pytest.raises(PermissionError) as caught:
            stages.map(Living(third)).map(same).run()
        assert "in the setup of a worker of stage 'Living 2'" in caught.value.__notes__[0]
        found = [(traces(one, "setup"), traces(one, "teardown")) for one in (first, second, third)]
        assert found == [(1, 1), (1, 0), (0, 0)]
