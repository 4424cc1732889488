"""A run that writes files is killed, with everything that it has started, again and again."""

from __future__ import annotations

import gzip
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import fail_on_seven
from waiting import wait_until
from written import COUNT, parts

from conveyor import Pipeline, PipelineError, read_csv, read_jsonl
from conveyor.pipeline.sinks.sink import PlainSink

SCRIPT = Path(__file__).with_name("written.py")
ALL = [part for number in range(COUNT) for part in parts({"number": str(number)})]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the input: two files, one of them compressed."""
    half = COUNT // 2
    for name, numbers in (("in.1.csv", range(half)), ("in.2.csv.gz", range(half, COUNT))):
        data = ("number\n" + "".join(f"{number}\n" for number in numbers)).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    return tmp_path


def runs(folder: Path, kind: str, method: str, resume: bool, seed: int) -> Iterator[int]:
    """Run it, killed at a random moment, three times; and then until it ends. Yields after each, with the exit code."""
    generator = random.Random(seed)
    log = folder / "log"
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, SCRIPT, folder, kind, method, "resume" if resume else "anew"],
            start_new_session=True,
        )

        def grown(path: Path, by: int, process: subprocess.Popen[bytes] = process) -> None:
            before = path.stat().st_size if path.exists() else 0
            wait_until(
                lambda: process.poll() is not None or (path.exists() and path.stat().st_size >= before + by)
            )

        if attempt < 3:
            grown(log, 1)
            if attempt == 1 and resume:
                grown(folder / "state.db-wal", 1)  # what is done was written at least once
            grown(log, generator.randrange(1, 900))
            process.kill()
        assert process.wait(90) in (0, -signal.SIGKILL)
        wait_until(lambda group=process.pid: is_gone(group))
        yield process.returncode
        if process.returncode == 0:
            return


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def table(path: Path) -> list[dict[str, str]]:
    file = sqlite3.connect(path)
    try:
        return [
            {"number": number, "part": part} for number, part in file.execute("SELECT number, part FROM rows")
        ]
    except sqlite3.OperationalError:
        return []
    finally:
        file.close()


def read(path: Path) -> list[dict[str, str]]:
    name = path.name.removesuffix(".partial")
    if name.endswith(".db"):
        return table(path)
    return list(read_csv(path) if ".csv" in name else read_jsonl(path))


def in_order(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(rows, key=lambda row: (int(row["number"]), row["part"]))


class TestKilled:
    @pytest.mark.parametrize(
        ("kind", "method"),
        [
            ("jsonl", "fork"),
            ("csv", "spawn"),
            ("csv.gz", "forkserver"),
            ("jsonl.zst", "fork"),
            ("db", "fork"),
        ],
    )
    def test_nothing_is_lost_and_nothing_is_there_twice(self, kind: str, method: str, folder: Path) -> None:
        path = folder / f"out.{kind}"
        codes: list[int] = []
        for code in runs(folder, kind, method, resume=True, seed=len(kind)):
            codes.append(code)
            if code and kind != "db":
                assert not path.exists()
        assert codes == [-signal.SIGKILL] * 3 + [0]
        assert in_order(read(path)) == ALL
        assert not Path(f"{path}.partial").exists()

    def test_several_files_and_a_table_at_once(self, folder: Path) -> None:
        assert list(runs(folder, "many", "fork", resume=True, seed=5))[-1] == 0
        assert in_order(read(folder / "all.jsonl.gz")) == ALL
        assert in_order(read(folder / "even.csv")) == [row for row in ALL if int(row["number"]) % 2 == 0]
        assert in_order(read(folder / "odd.db")) == [row for row in ALL if int(row["number"]) % 2]

    @pytest.mark.parametrize("kind", ["csv", "jsonl.gz", "parquet"])
    def test_without_resume_the_old_one_stays_until_the_new_one_is_whole(
        self, kind: str, folder: Path
    ) -> None:
        path = folder / f"out.{kind}"
        path.write_text("old")
        for code in runs(folder, kind, "fork", resume=False, seed=7):
            assert code == 0 or path.read_text() == "old"
        if kind == "parquet":
            import pyarrow.parquet as pq

            assert in_order(pq.read_table(path).to_pylist()) == ALL
        else:
            assert in_order(read(path)) == ALL


class TestGoneOnWith:
    """Deaths at the worst moments, made by hand."""

    @staticmethod
    def fail_first(path: Any, state: Path, **options: Any) -> None:
        rows = [{"a": number} for number in range(10)]
        with pytest.raises(KeyError):
            Pipeline(rows).map(seven, threads=1, ordered=True).to(path, **options).run(resume=state)

    @staticmethod
    def again(path: Any, state: Path, **options: Any) -> Any:
        return (
            Pipeline([{"a": number} for number in range(10)])
            .map(dict, threads=1)
            .to(path, **options)
            .run(resume=state)
        )

    @pytest.mark.parametrize("name", ["out.csv", "out.jsonl.gz"])
    def test_what_was_written_after_the_last_commit_is_cut_off(self, name: str, tmp_path: Path) -> None:
        path, state = tmp_path / name, tmp_path / "state.db"
        self.fail_first(path, state)
        with Path(f"{path}.partial").open("ab") as file:
            file.write(b"half a li")
        report = self.again(path, state)
        assert report.resumed >= 7
        assert sorted(int(row["a"]) for row in read_any(path)) == list(range(10))

    def test_the_renaming_is_made_up_for(self, tmp_path: Path) -> None:
        path, state = tmp_path / "out.csv", tmp_path / "state.db"
        self.again(path, state)
        data = path.read_bytes()
        path.rename(f"{path}.partial")  # as if it had been killed before
        report = self.again(path, state)
        assert (report.taken, report.resumed) == (0, 10)
        assert path.read_bytes() == data
        self.again(path, state)
        assert path.read_bytes() == data
        path.unlink()  # it was taken away, and there is nothing more to do
        self.again(path, state)
        assert not path.exists()

    def test_a_partial_file_that_is_gone_is_an_error(self, tmp_path: Path) -> None:
        path, state = tmp_path / "out.csv", tmp_path / "state.db"
        self.fail_first(path, state)
        partial = tmp_path / "out.csv.partial"
        data = partial.read_bytes()
        partial.write_bytes(data[:-3])
        with pytest.raises(
            PipelineError, match=r"earlier runs have written \d+ bytes of '.*out.csv', and '.*' has"
        ):
            self.again(path, state)
        partial.unlink()
        with pytest.raises(PipelineError, match="is as it left them; remove the state file to begin anew"):
            self.again(path, state)
        partial.write_bytes(data)
        self.again(path, state)
        assert len(read_any(path)) == 10

    def test_another_end_than_before_is_an_error(self, tmp_path: Path) -> None:
        self.fail_first(tmp_path / "out.csv", tmp_path / "state.db")
        with pytest.raises(PipelineError, match=r"not written to '.*other.csv': it would be missing"):
            self.again(tmp_path / "other.csv", tmp_path / "state.db")

    def test_rows_that_the_state_file_does_not_know_are_taken_back(self, tmp_path: Path) -> None:
        url, state = f"sqlite:///{tmp_path}/x.db?table=t", tmp_path / "state.db"
        self.fail_first(url, state)
        before = state.read_bytes()
        self.again(url, state)
        state.write_bytes(before)  # as if it had been killed between the two transactions
        self.again(url, state)
        file = sqlite3.connect(tmp_path / "x.db")
        assert sorted(file.execute("SELECT a FROM t")) == [(number,) for number in range(10)]
        file.close()
        (tmp_path / "x.db").unlink()
        state.write_bytes(before)
        with pytest.raises(PipelineError, match="which does not have them; remove the state file"):
            self.again(url, state)

    def test_an_end_that_fails_marks_nothing_as_done(self, tmp_path: Path) -> None:
        path, state = tmp_path / "out.csv", tmp_path / "state.db"
        rows = [{"a": 1}, {"a": 2}, {"b": 3}, {"a": 4}]
        with pytest.raises(ValueError, match="it lacks 'a'"):
            Pipeline(rows).map(dict, threads=1, ordered=True).to(path).run(resume=state)
        Pipeline(rows).map(dict, threads=1, ordered=True).to(path, columns=["a"]).run(resume=state)
        assert [row["a"] for row in read_csv(path)] == ["1", "2", "", "4"]

    def test_an_item_with_very_many_results(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        stages = Pipeline([250_000, 3]).flat_map(range, workers=1, ordered=True).to(path)
        stages.run(resume=tmp_path / "state.db")
        assert list(read_jsonl(path)) == [*range(250_000), *range(3)]

    def test_batches(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        stages = Pipeline(range(1000)).map(int, workers=1).batch(7).map(sum, workers=2).to(path)
        stages.run(resume=tmp_path / "state.db")
        assert sum(read_jsonl(path)) == sum(range(1000))
        assert stages.run(resume=tmp_path / "state.db").resumed == 1000


def seven(row: dict[str, int]) -> dict[str, int]:
    fail_on_seven(row["a"])
    return row


def read_any(path: Path) -> list[Any]:
    return list(read_csv(path) if path.name.endswith("csv") else read_jsonl(path))


def test_a_plain_sink_says_that_it_keeps_no_places() -> None:
    sink = PlainSink()
    assert (sink.is_resumable, sink.place, sink.partial, sink.pending) == (False, None, None, 0)
