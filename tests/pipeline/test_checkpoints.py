"""`run(resume=…)`: after the death of everything a second run goes on, and no item is left out."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkpointed import COUNT, some
from stages import fail_on_seven, merge_add, same, span
from waiting import wait_until

from conveyor import Pipeline, PipelineError, read_lines
from conveyor.pipeline.checkpoint.checkpoint import Checkpoint
from conveyor.pipeline.checkpoint.store import CheckpointFile
from conveyor.pipeline.flow.lineage import Lineage

SCRIPT = Path(__file__).with_name("checkpointed.py")


def run_until_done(folder: Path, kind: str, method: str, seed: int) -> int:
    """Run it again and again, killed at a random moment, until it ends by itself; returns how often it was killed."""
    generator = random.Random(seed)
    log, state = folder / "log", folder / "state.db-wal"
    killed = 0
    while True:
        process = subprocess.Popen([sys.executable, SCRIPT, folder, kind, method], start_new_session=True)

        def grown(path: Path, by: int, process: subprocess.Popen[bytes] = process) -> None:
            before = path.stat().st_size if path.exists() else 0
            wait_until(
                lambda: process.poll() is not None or (path.exists() and path.stat().st_size >= before + by)
            )

        if killed < 2:
            grown(log, 1)
            if killed == 1:
                grown(state, 1)  # what is done was written at least once
            grown(log, generator.randrange(1, 1000))
            process.kill()
        assert process.wait(60) in (0, -signal.SIGKILL)
        if process.returncode == 0:
            return killed
        killed += 1
        # The helpers of multiprocessing end by themselves, a moment later.
        wait_until(lambda group=process.pid: is_gone_group(group))


def is_gone_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


class TestKilledAgainAndAgain:
    @pytest.mark.parametrize(
        ("kind", "method"), [("list", "fork"), ("filter", "spawn"), ("lines", "forkserver")]
    )
    def test_each_item_is_worked_on_and_none_is_left_out(
        self, kind: str, method: str, tmp_path: Path
    ) -> None:
        (tmp_path / "in").write_text("".join(f"{number}\n" for number in range(COUNT)))
        assert run_until_done(tmp_path, kind, method, seed=3) == 2
        wanted = [str(number) for number in range(COUNT)]
        results = wanted
        if kind == "filter":
            results = wanted[::2]
        if kind == "lines":
            wanted = results = [value for number in range(COUNT) for value in some(number)]
        assert set(lines_of(tmp_path / "log")) == set(wanted)
        assert set(lines_of(tmp_path / "out")) == set(results)
        _, taken, resumed = (tmp_path / "result").read_text().split()
        assert int(taken) + int(resumed) == COUNT
        assert int(resumed) > 0

    def test_a_reduce_counts_each_item_once(self, tmp_path: Path) -> None:
        assert run_until_done(tmp_path, "reduce", "fork", seed=4) == 2
        result, taken, resumed = (tmp_path / "result").read_text().split()
        assert int(result) == sum(range(COUNT))  # its value is kept together with what is done
        assert int(taken) + int(resumed) == COUNT

    def test_a_run_that_is_done_does_nothing_more(self, tmp_path: Path) -> None:
        stages = Pipeline(range(100)).map(same, workers=1).reduce(merge_add, 0)
        assert stages.run(resume=tmp_path / "state.db").result == sum(range(100))
        again = stages.run(resume=tmp_path / "state.db")
        assert (again.result, again.taken, again.resumed) == (sum(range(100)), 0, 100)

    def test_a_torn_line_is_taken_away(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        stage = Pipeline(list(range(10))).map(fail_on_seven, workers=1, ordered=True).to(path)
        with pytest.raises(KeyError):
            stage.run(resume=tmp_path / "state.db")
        partial = tmp_path / "out.partial"  # it is whole, and `out`, at the end
        done = partial.read_text()
        assert 0 < done.count("\n") < 10
        partial.write_text(
            f"{done}half a li"
        )  # as a process leaves it that is killed in the middle of a write
        report = Pipeline(list(range(10))).map(same, workers=1).to(path).run(resume=tmp_path / "state.db")
        assert report.resumed == done.count("\n")
        assert sorted(map(int, lines_of(path))) == list(range(10))


class TestFailures:
    def test_an_item_that_stopped_the_run_is_not_done(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        with pytest.raises(KeyError):
            Pipeline(range(10)).map(fail_on_seven, workers=1).run(resume=state)
        report = Pipeline(range(10)).map(same, workers=1).to(list).run(resume=state)
        assert 7 in report.result
        assert report.taken + report.resumed == 10

    @pytest.mark.parametrize("on_error", ["skip", "dead_letter", "yield"])
    def test_an_item_that_was_dealt_with_is_done(self, on_error: Any, tmp_path: Path) -> None:
        stage = Pipeline(range(10)).map(fail_on_seven, workers=1, on_error=on_error).map(same, workers=1)
        assert stage.run(resume=tmp_path / "state.db").failures == 1
        assert stage.run(resume=tmp_path / "state.db").resumed == 10

    @pytest.mark.parametrize("count", [1023, 1024, 1025, 2049, 3000])
    def test_items_with_very_many_results(self, count: int, tmp_path: Path) -> None:
        stages = (
            Pipeline([count, 1, 0])
            .flat_map(span, workers=1, ordered=True)
            .filter(bool, workers=1, ordered=True)
        )
        report = stages.batch(10).unbatch().to(list).run(resume=tmp_path / "state.db")
        assert report.result == [*span(count), *span(1)]
        assert stages.run(resume=tmp_path / "state.db").resumed == 3

    def test_a_list_counts_until_the_last_value_that_came_of_it(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint(CheckpointFile(tmp_path / "state.db", "some"), 0.0)
        checkpoint.begin(list(range(6)))
        bundle = Lineage([Lineage([0, 1]), Lineage([2, 3])])  # batches of batches
        checkpoint.fanned_out(bundle, 3)
        for _ in range(2):
            checkpoint.fanned_out(bundle, 0)
            assert not any(map(checkpoint.is_done, range(6)))
        checkpoint.fanned_out(bundle, 0)
        assert list(map(checkpoint.is_done, range(6))) == [True] * 4 + [False] * 2
        checkpoint.close()


class TestWrongFiles:
    @staticmethod
    def run(path: Path, source: Any = range(10)) -> Any:
        return Pipeline(source).map(same, workers=1).reduce(merge_add, 0).run(resume=path)

    def test_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "letter.txt"
        path.write_text("Dear all, " * 1000)
        with pytest.raises(
            PipelineError, match=r"resume is '.*letter.txt', which cannot be used: file is not a"
        ):
            self.run(path)
        assert path.read_text() == "Dear all, " * 1000

    def test_another_programs_database(self, tmp_path: Path) -> None:
        path = tmp_path / "orders.db"
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE run (id)")
        file.close()
        before = path.read_bytes()
        with pytest.raises(PipelineError, match="database of another program's"):
            self.run(path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            ("UPDATE run SET state = 'no pickle'", "cannot be unpickled"),
            ("UPDATE run SET version = 99", "version 99"),
            ("UPDATE done SET after = -5", "items 0 to -5 are done"),
            ("UPDATE done SET after = 'ten'", "are done"),
            ("DROP TABLE run; CREATE TABLE run (other)", "no such column"),
        ],
    )
    def test_a_damaged_one(self, damage: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        self.run(path)
        file = sqlite3.connect(path)
        file.executescript(damage)
        file.close()
        with pytest.raises(PipelineError, match=f"state.db', which cannot be used: .*{message}"):
            self.run(path)

    def test_one_that_was_overwritten_in_the_middle(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        self.run(path)
        data = bytearray(path.read_bytes())
        data[100:] = os.urandom(len(data) - 100)
        path.write_bytes(data)
        with pytest.raises(PipelineError, match="which cannot be used"):
            self.run(path)

    def test_one_of_a_pipeline_without_its_reduce(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        Pipeline(range(10)).map(same, workers=1).run(resume=path)
        with pytest.raises(PipelineError, match=r"results of 0 reduce\(\), and the pipeline has 1"):
            self.run(path)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(PipelineError, match="unable to open"):
            self.run(tmp_path / "nowhere" / "state.db")

    def test_two_runs_at_once(self, tmp_path: Path) -> None:
        stream = []

        def second(item: int) -> None:
            if item == 0:
                with pytest.raises(PipelineError, match="does another run use it"):
                    self.run(tmp_path / "state.db")
                stream.append(item)

        Pipeline(range(10)).map(same, workers=1).to(second).run(resume=tmp_path / "state.db")
        assert stream == [0]


class TestChangedSources:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (range(10), range(11)),
            ([1, 2, 3], [1, 2, 3, 4]),
            ([1, 2, 3], [1, 5, 3]),
            (["a", "b"], ("a", "b")),
            ([object(), object()], [object()]),
        ],
    )
    def test_sequences(self, before: Any, after: Any, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        Pipeline(before).map(str, threads=1).run(resume=state)
        with pytest.raises(PipelineError, match=r"made for another source: .* remove the file to begin anew"):
            Pipeline(after).map(str, threads=1).run(resume=state)
        assert Pipeline(before).map(str, threads=1).run(resume=state).resumed == len(before)

    def test_objects_are_the_same_wherever_they_lie_in_memory(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        Pipeline([object(), object()]).map(str, threads=1).run(resume=state)
        assert Pipeline([object(), object()]).map(str, threads=1).run(resume=state).resumed == 2

    def test_a_file(self, tmp_path: Path) -> None:
        path, state = tmp_path / "lines", tmp_path / "state.db"
        path.write_text("one\ntwo\n")
        Pipeline(read_lines(path)).map(str, workers=1).run(resume=state)
        path.write_text("one\nTWO\n")
        with pytest.raises(PipelineError, match="made for another source"):
            Pipeline(read_lines(path)).map(str, workers=1).run(resume=state)
        path.write_text("one\ntwo\n")
        assert Pipeline(read_lines(path)).map(str, workers=1).run(resume=state).resumed == 2

    def test_a_source_without_places(self, tmp_path: Path) -> None:
        with pytest.raises(PipelineError, match="resume needs a source whose items have places"):
            Pipeline(iter([1])).map(str, workers=1).run(resume=tmp_path / "state.db")
        shutil.rmtree(tmp_path)
