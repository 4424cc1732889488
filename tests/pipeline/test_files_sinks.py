"""Results to files: what each format writes, that a file is there when it is whole, and what is said if not."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import json
import lzma
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from stages import fail_on_seven, same

from conveyor import Pipeline, PipelineError, Queue, connect, read_csv, read_jsonl, read_lines, read_parquet

OPENERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": zstd.decompress,
}
ROWS = [{"name": f"n{number}", "size": number} for number in range(1000)]


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    a: str
    b: int


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(items: Any, target: Any, **options: Any) -> Any:
    return Pipeline(items).to(target, **options).run()


class TestFormats:
    def test_lines(self, tmp_path: Path) -> None:
        write(["text", b"bytes", {"a": 1}, 1.5, Point(1, 2.0)], tmp_path / "out.txt")
        assert (tmp_path / "out.txt").read_text() == 'text\nbytes\n{"a":1}\n1.5\n{"x":1,"y":2.0}\n'

    def test_json_lines_come_back_as_they_were(self, tmp_path: Path) -> None:
        values = ["text", 'with "quotes"\nand lines\u2028', {"ü": [1, None]}, 1.5, [True], None]
        write(values, tmp_path / "out.jsonl")
        assert list(read_jsonl(tmp_path / "out.jsonl")) == values

    def test_json_of_other_types(self, tmp_path: Path) -> None:
        values = [
            Point(1, 2.0),
            Pair("a", 1),
            np.int64(3),
            {"of": np.arange(2), "in": [Point(1, 2)]},
            b'{"raw":1}\n',
        ]
        write(values, tmp_path / "out.ndjson")
        assert list(read_jsonl(tmp_path / "out.ndjson")) == [
            {"x": 1, "y": 2.0},
            {"a": "a", "b": 1},
            3,
            {"of": [0, 1], "in": [{"x": 1, "y": 2}]},
            {"raw": 1},
        ]

    @pytest.mark.parametrize("suffix", OPENERS)
    @pytest.mark.parametrize("kind", ["jsonl", "csv", "txt"])
    def test_compressed(self, suffix: str, kind: str, tmp_path: Path) -> None:
        path = tmp_path / f"out.{kind}{suffix}"
        write(ROWS, path)
        plain = tmp_path / f"plain.{kind}"
        write(ROWS, plain)
        assert OPENERS[suffix](path.read_bytes()) == plain.read_bytes()
        assert len(list(read_lines(path))) == len(list(read_lines(plain)))

    def test_csv(self, tmp_path: Path) -> None:
        path = tmp_path / "out.csv"
        write([{"a": 'x, "y"', "b": None}, {"b": 2, "a": "two\nlines"}], path)
        assert path.read_text() == 'a,b\n"x, ""y""",\n"two\nlines",2\n'
        write([Point(1, 2.5), Point(3, 4)], path)
        assert path.read_text() == "x,y\n1,2.5\n3,4\n"
        write([Pair("a", 1)], path, delimiter=";")
        assert path.read_text() == "a;b\na;1\n"
        write([{"a": 1, "b": 2, "c": 3}, {"b": 5}], path, columns=["c", "b"])
        assert path.read_text() == "c,b\n3,2\n,5\n"
        write([(1, 2), [3, 4]], path, columns=["a", "b"])
        assert path.read_text() == "a,b\n1,2\n3,4\n"
        write(ROWS[:1], tmp_path / "out.tsv")
        assert (tmp_path / "out.tsv").read_text() == "name\tsize\nn0\t0\n"

    def test_nothing(self, tmp_path: Path) -> None:
        for name in ("out.txt", "out.csv", "out.jsonl.gz", "out.parquet"):
            write([], tmp_path / name)
        write([], tmp_path / "named.csv", columns=["a", "b"])
        assert (tmp_path / "out.txt").read_bytes() == (tmp_path / "out.csv").read_bytes() == b""
        assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == b""
        assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
        assert (tmp_path / "named.csv").read_text() == "a,b\n"

    def test_another_format_than_the_suffix_says(self, tmp_path: Path) -> None:
        write([1, 2], tmp_path / "out.csv", format="jsonl")
        assert (tmp_path / "out.csv").read_text() == "1\n2\n"

    @pytest.mark.parametrize("name", ["out.csv", "sub/out.jsonl.gz", "out.parquet"])
    def test_at_a_url(self, name: str) -> None:
        url = f"memory://sinks/{name}"
        write(ROWS, url)
        read: Any = {"csv": read_csv, "gz": read_jsonl, "parquet": read_parquet}[name.rpartition(".")[2]]
        options = (
            {"types": {"size": int}} if read is read_csv else {"rows": True} if read is read_parquet else {}
        )
        assert list(read(url, **options)) == ROWS

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_from_workers(self, method: Any, tmp_path: Path) -> None:
        path = tmp_path / "out.csv.gz"
        Pipeline(ROWS).map(same, workers=2, ordered=True).to(path).run(start_method=method)
        assert list(read_csv(path, types={"size": int})) == ROWS

    def test_a_tee(self, tmp_path: Path) -> None:
        report = (
            Pipeline(ROWS).tee(tmp_path / "seen.csv", columns=["size"]).map(len, threads=1).to(list).run()
        )
        assert set(report.result) == {2}
        assert [row["size"] for row in read_csv(tmp_path / "seen.csv")] == [str(row["size"]) for row in ROWS]

    def test_open_files_of_all_kinds(self, tmp_path: Path) -> None:
        memory = io.BytesIO()
        write(["a"], memory)
        assert memory.getvalue() == b"a\n"
        with gzip.open(tmp_path / "a.gz", "wb") as file:
            write(["a"], file)
        assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"a\n"


class TestParquet:
    def test_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "out.parquet"
        write([*ROWS, Pair("a", 1)][:-1], path, row_group_size=300)
        file = pq.ParquetFile(path)
        assert file.num_row_groups == 4
        assert file.read().to_pylist() == ROWS
        file.close()

    def test_tables_batches_and_a_schema(self, tmp_path: Path) -> None:
        path = tmp_path / "out.parquet"
        schema = pa.schema([("a", pa.int32()), ("b", pa.string())])
        batch = pa.record_batch({"a": [1], "b": ["x"]})
        write([batch, pa.table({"b": ["y"], "a": [2]}), {"a": 3}], path, schema=schema)
        assert pq.read_schema(path) == schema
        assert pq.read_table(path).to_pylist() == [
            {"a": 1, "b": "x"},
            {"a": 2, "b": "y"},
            {"a": 3, "b": None},
        ]

    def test_from_file_to_file(self, tmp_path: Path) -> None:
        write(ROWS, tmp_path / "in.parquet")
        Pipeline(read_parquet(tmp_path / "in.parquet", batch_size=100)).map(same, workers=2, ordered=True).to(
            tmp_path / "out.parquet"
        ).run()
        assert pq.read_table(tmp_path / "out.parquet").to_pylist() == ROWS

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            (
                [{"a": 1}, {"a": 1, "b": 2}],
                r"\{'a': 1, 'b': 2\} cannot be written to '.*': 'b' is not among the columns",
            ),
            ([{"a": 1, "b": 2}, {"a": 3}], "'b' is missing, of the columns"),
            (
                [{"a": 1}, {"a": 2}, {"a": "x"}, {"a": 3}],
                r"\{'a': 'x'\} cannot be written to .*schema=pyarrow.schema",
            ),
            (
                [pa.table({"a": [1]}), pa.table({"b": [1]})],
                r"a table with the columns \['b'\] cannot be written",
            ),
            ([1], "1, a int, cannot be written to .*; give dicts"),
        ],
    )
    def test_what_does_not_fit(self, items: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises((ValueError, TypeError), match=message):
            write(items, tmp_path / "out.parquet")
        assert not (tmp_path / "out.parquet").exists()

    def test_it_is_not_resumed(self, tmp_path: Path) -> None:
        with pytest.raises(
            PipelineError, match=r"resume cannot go on with '.*out.parquet': what a Parquet file holds"
        ):
            Pipeline([1]).to(tmp_path / "out.parquet").run(resume=tmp_path / "state.db")
        assert not list(tmp_path.glob("*.partial"))


class TestTable:
    @staticmethod
    def rows(path: Path, table: str = "t") -> list[Any]:
        file = sqlite3.connect(path)
        try:
            return file.execute(f'SELECT * FROM "{table}"').fetchall()
        finally:
            file.close()

    def test_it_is_made_and_added_to(self, tmp_path: Path) -> None:
        path = tmp_path / "x.db"
        url = f"sqlite:///{path}?table=t"
        write(ROWS, url)
        write([{"size": 7, "name": "more"}], url)
        assert self.rows(path) == [*((row["name"], row["size"]) for row in ROWS), ("more", 7)]
        file = sqlite3.connect(path)
        assert [each[2] for each in file.execute("PRAGMA table_info(t)")] == ["TEXT", "INTEGER"]
        file.close()

    def test_names_are_only_names(self, tmp_path: Path) -> None:
        write([{'a"b': 1, "select": 2}], f"sqlite:///{tmp_path}/x.db?table=drop%20it%22")
        assert self.rows(tmp_path / "x.db", 'drop it""') == [(1, 2)]

    def test_a_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write([Pair("a", 1)], "sqlite:///x.db?table=t")
        assert self.rows(tmp_path / "x.db") == [("a", 1)]

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            (
                "sqlite:///x.db",
                "is no file: sqlite:// is where queues are; .*; for a table say sqlite:///file.db.table=name",
            ),
            ("sqlite:///x.db?queue=q", "is no file: sqlite:// is where queues are"),
            ("sqlite:///x.db?table=t&mode=ro", "is no address of a table"),
            ("sqlite://x.db?table=t", "three slashes before a relative path"),
            (
                "redis://:secret@host/0/q",
                r"'redis://:\*\*\*@host/0/q' is no file: redis:// is where queues are",
            ),
        ],
    )
    def test_queues_and_databases_are_no_tables(self, address: str, message: str) -> None:
        with pytest.raises(PipelineError, match=message):
            Pipeline([1]).to(address)

    def test_what_does_not_fit(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/x.db?table=t"
        with pytest.raises(
            ValueError, match=r"it also has 'c' and it lacks 'b'; say which there are to be by columns"
        ):
            write([{"a": 1, "b": 1}, {"a": 1, "c": 1}], url)
        with pytest.raises(sqlite3.Error) as caught:
            write([{"a": 1, "b": object()}], url)
        assert any("cannot be put into" in note for note in caught.value.__notes__)
        url = f"sqlite:///{tmp_path}/y.db?table=t"
        write([{"a": 1}], url)
        with pytest.raises(ValueError, match=r"the table 't' of .* has no column 'z'; it has \['a'\]"):
            write([{"z": 1}], url)
        (tmp_path / "no.db").write_text("Dear all, " * 1000)
        with pytest.raises(PipelineError, match="cannot be used: file is not a database"):
            write([{"a": 1}], f"sqlite:///{tmp_path}/no.db?table=t")


class TestWhole:
    def test_it_is_there_when_the_run_has_ended_well(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old\n")
        path.chmod(0o640)
        seen: list[str] = []

        def look(item: int) -> int:
            seen.append(path.read_text())
            return item

        Pipeline(range(100)).map(look, threads=1).to(path).run()
        assert set(seen) == {"old\n"}
        assert len(path.read_text().splitlines()) == 100
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert names(tmp_path) == ["out.txt"]

    def test_a_run_that_fails_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl.gz"
        path.write_text("old")
        with pytest.raises(KeyError) as caught:
            Pipeline(range(10)).map(fail_on_seven, workers=1, ordered=True).to(path).run()
        assert path.read_text() == "old"
        partial = tmp_path / "out.jsonl.gz.partial"
        assert f"what was written until then is in {partial}" in caught.value.__notes__
        assert list(read_jsonl(partial))[:7] == list(range(7))  # a whole gzip member all the same
        assert caught.value.report.partial == (str(partial),)
        Pipeline(range(10)).to(path).run()
        assert list(read_jsonl(path)) == list(range(10))
        assert not partial.exists()

    def test_a_run_that_fails_before_anything_is_written_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError):
            Pipeline([7]).map(fail_on_seven, workers=1).to(tmp_path / "out").run()
        with pytest.raises(PipelineError):
            Pipeline([7]).tee(tmp_path / "first").to(tmp_path / "out.parquet").run(resume=tmp_path / "state")
        (tmp_path / "state").unlink()
        assert names(tmp_path) == []

    def test_a_run_that_was_interrupted_says_where_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"

        def interrupt(item: int) -> int:
            if item == 20:
                os.kill(os.getpid(), signal.SIGINT)
            return item

        def endless() -> Any:
            number = 0
            while True:
                yield number
                number += 1

        report = Pipeline(endless).tee(interrupt).to(path).run()
        assert report.interrupted == "SIGINT"
        assert report.partial == (f"{path}.partial",)
        assert f"what was written is in {path}.partial" in " ".join(str(report).split())
        assert not path.exists()

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
        write(["a"], tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "real").read_text() == "a\n"

    def test_what_is_no_regular_file_is_written_to_directly(self, tmp_path: Path) -> None:
        write(["a"], "/dev/null")
        os.mkfifo(tmp_path / "pipe")
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
        reader.start()
        write(["a", "b"], tmp_path / "pipe")
        reader.join(30)
        assert got == ["a\nb\n"]
        assert names(tmp_path) == ["pipe"]

    def test_standard_output(self) -> None:
        program = "import conveyor; print('first'); conveyor.Pipeline([{'a': 1}]).to('-', format='csv').run()"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
        assert done.stdout == b"first\na\n1\n"

    def test_two_runs_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "out"

        def second(item: int) -> None:
            with pytest.raises(
                PipelineError, match=r"another run writes to '.*out' \(out.partial beside it is locked\)"
            ):
                write([1], path)
            program = f"import conveyor; conveyor.Pipeline([1]).to({str(path)!r}).run()"
            done = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
            )
            assert "another run writes to" in done.stderr

        Pipeline([1]).tee(second).to(path).run()
        assert path.read_text() == "1\n"

    def test_a_run_that_is_made_and_not_begun_holds_nothing(self, tmp_path: Path) -> None:
        for _ in range(2):
            Pipeline([1]).tee(tmp_path / "out").stream()
        write([1], tmp_path / "out")
        assert names(tmp_path) == ["out"]

    def test_a_stream_that_is_left_is_not_whole(self, tmp_path: Path) -> None:
        for _ in Pipeline(range(10_000)).tee(tmp_path / "out").stream():
            break
        assert names(tmp_path) == ["out.partial"]
        assert len(list(Pipeline(range(10)).tee(tmp_path / "out").stream())) == 10
        assert names(tmp_path) == ["out"]

    def test_a_full_disk(self) -> None:
        with pytest.raises(OSError, match="No space left"):
            write([b"x" * 1000] * 1000, "/dev/full")

    def test_at_a_url_a_run_that_fails_leaves_the_old_one(self) -> None:
        write([1], "memory://sinks/kept.txt")
        with pytest.raises(KeyError):
            Pipeline(range(10)).map(fail_on_seven, workers=1).to("memory://sinks/kept.txt").run()
        assert list(read_lines("memory://sinks/kept.txt")) == ["1"]
        assert next(iter(read_lines("memory://sinks/kept.txt.partial"))) == "0"


class TestWrong:
    @pytest.mark.parametrize(
        ("target", "options", "error", "message"),
        [
            (
                "out.csv",
                {"colums": ["a"]},
                TypeError,
                "unexpected keyword argument 'colums'; for 'out.csv', .* csv",
            ),
            (
                "out.txt",
                {"columns": ["a"]},
                TypeError,
                "unexpected keyword argument 'columns'; .* lines, it has: none",
            ),
            (list, {"columns": ["a"]}, TypeError, "unexpected keyword argument 'columns'; a type has none"),
            ("out.csv", {"columns": "ab"}, TypeError, "columns of to.. is 'ab'; it must be a list of names"),
            ("out", {"format": "xml"}, ValueError, "format of to.. is 'xml'; it must be"),
            ("out.parquet.gz", {}, PipelineError, "Parquet compresses by itself"),
            ("kafka://host/topic", {}, PipelineError, "to put into one give conveyor.connect"),
        ],
    )
    def test_it_is_said_before_it_runs(
        self, target: Any, options: Any, error: type[Exception], message: str
    ) -> None:
        for method in (Pipeline([1]).to, Pipeline([1]).tee):
            with pytest.raises(error, match=message):
                method(target, **options)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"row_group_size": 0}, ValueError),
            ({"schema": "a"}, TypeError),
            ({"compression": "nosuch"}, Exception),
        ],
    )
    def test_of_parquet(self, options: Any, error: type[Exception], tmp_path: Path) -> None:
        with pytest.raises(error):
            write([{"a": 1}], tmp_path / "out.parquet", **options)
        assert not list(tmp_path.glob("*.parquet"))

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            (
                [{"a": 1}, {"a": 1, "b": 2}],
                r"\{'a': 1, 'b': 2\} cannot be written to '.*', whose columns are \['a'\]: it also",
            ),
            ([{"a": 1, "b": 2}, {"a": 1}], "it lacks 'b'; say which there are to be"),
            ([{"a": 1}, 7], "7, a int, cannot be written to .* has columns; give dicts"),
            ([(1, 2)], r"\(1, 2\), a tuple, cannot be written"),
        ],
    )
    def test_rows_that_do_not_fit(self, items: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            write(items, tmp_path / "out.csv")
        assert any("in stage" in note for note in caught.value.__notes__)

    def test_what_has_no_json(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="cannot be written to a file: Object of type set is not JSON"):
            write([{1, 2}], tmp_path / "out.jsonl")

    def test_without_a_package_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for module, name, extra in (
            ("pyarrow.parquet", "out.parquet", "arrow"),
            ("backports.zstd", "out.csv.zst", "files"),
            ("fsspec", "s3://bucket/out.csv", "files"),
        ):
            monkeypatch.setitem(sys.modules, module, None)
            monkeypatch.setitem(sys.modules, "compression.zstd", None)
            target = name if "://" in name else tmp_path / name
            with pytest.raises(ImportError, match=rf"pip install 'conveyor\[{extra}\]'"):
                write([{"a": 1}], target)


class TestFromQueues:
    """What came of items that are acknowledged is never destroyed by a later run."""

    def test_lines_are_appended(self, tmp_path: Path) -> None:
        path = tmp_path / "out.jsonl"
        path.write_text("0\n1\nhal")  # as a process leaves it that is killed in the middle of a write
        queue = connect(f"memory://files-{os.getpid()}")
        queue.put_many([{"a": 2}, {"a": 3}])
        queue.shutdown()
        Pipeline(queue).to(path).run()
        assert path.read_text() == '0\n1\n{"a":2}\n{"a":3}\n'

    @pytest.mark.parametrize("name", ["out.csv", "out.jsonl.gz", "out.parquet", "memory://x/out.jsonl"])
    def test_what_cannot_be_appended_to_is_refused(self, name: str, tmp_path: Path) -> None:
        queue = connect(f"memory://files-{os.getpid()}-{name.rpartition('/')[2]}")
        queue.put({"a": 2})
        queue.shutdown()
        target = name if "://" in name else tmp_path / name
        with pytest.raises(PipelineError, match="acknowledged"):
            Pipeline(queue).to(target).run()
        Pipeline(queue, acknowledge="on_take").to(target).run()

    def test_a_queue_without_a_name_is_a_source_like_any(self, tmp_path: Path) -> None:
        queue: Queue[Any] = Queue()
        queue.put({"a": 2})
        queue.shutdown()
        Pipeline(queue).to(tmp_path / "out.csv").run()
        assert (tmp_path / "out.csv").read_text() == "a\n2\n"

    def test_a_table(self, tmp_path: Path) -> None:
        queue = connect(f"memory://files-{os.getpid()}-table")
        queue.put_many([{"a": 2}, {"a": 3}])
        queue.shutdown()
        Pipeline(queue).to(f"sqlite:///{tmp_path}/x.db?table=t").run()
        file = sqlite3.connect(tmp_path / "x.db")
        assert file.execute("SELECT a FROM t").fetchall() == [(2,), (3,)]
        file.close()


def test_json_dumps_is_not_quoted_twice_in_lines(tmp_path: Path) -> None:
    Pipeline([{"a": 1}]).map(json.dumps, threads=1).to(tmp_path / "out.txt").run()
    assert list(read_jsonl(tmp_path / "out.txt")) == [{"a": 1}]
