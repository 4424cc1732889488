"""Sources that are files: lines, CSV, JSON lines, one or several, compressed, at URLs, from standard input."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from conveyor import Pipeline, PipelineError, read_csv, read_jsonl, read_lines
from conveyor.pipeline.progress.progress import Progress

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
LINES = [f"line {number}" for number in range(1000)]
DATA = "".join(f"{line}\n" for line in LINES).encode()


def results(source: Any) -> list[Any]:
    report = Pipeline(source).to(list).run()
    return report.result  # type: ignore[no-any-return]


class TestWhichFiles:
    def test_a_pattern_gives_files_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        for name in ("b.txt", "a.txt", "deep/c.txt"):
            (tmp_path / name).write_text(f"{name}\n")
        assert results(read_lines(tmp_path / "*.txt")) == ["a.txt", "b.txt"]
        assert results(read_lines(f"{tmp_path}/**/*.txt")) == ["a.txt", "b.txt", "deep/c.txt"]

    def test_several(self, tmp_path: Path) -> None:
        (tmp_path / "one").write_text("1\n2")  # without a newline at its end: two lines all the same
        (tmp_path / "two").write_text("3\n")
        assert results(read_lines([tmp_path / "two", str(tmp_path / "o*"), tmp_path / "two"])) == [
            "3",
            "1",
            "2",
            "3",
        ]

    def test_a_name_that_looks_like_a_pattern_is_a_name_where_there_is_one(self, tmp_path: Path) -> None:
        (tmp_path / "a[1].txt").write_text("itself\n")
        (tmp_path / "a1.txt").write_text("other\n")
        assert results(read_lines(tmp_path / "a[1].txt")) == ["itself"]

    def test_a_file_url(self, tmp_path: Path) -> None:
        (tmp_path / "with space").write_text("here\n")
        assert results(read_lines(f"file://{tmp_path}/with%20space")) == ["here"]

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ("nowhere/*.gz", FileNotFoundError, r"read_lines\(\) finds no file that matches 'nowhere/\*.gz'"),
            ("nowhere", FileNotFoundError, "nowhere"),
            ([], ValueError, r"read_lines\(\) got no files: \[\] is empty"),
            (7, TypeError, r"read_lines\(\) got 7, a int; give a path"),
            ([7], TypeError, r"read_lines\(\) got 7 among its files"),
            (b"bytes", TypeError, r"read_lines\(\) got b'bytes', a bytes; give a path"),
            (
                "amqp://host/v/q",
                PipelineError,
                r"amqp:// is where queues are; to read from one give conveyor.connect",
            ),
            ("sqlite:///x.db?queue=q", PipelineError, "is no file: sqlite:// is where queues are"),
            ("nosuch://host/file", ValueError, "nosuch"),
            (["/"], IsADirectoryError, "/"),
        ],
    )
    def test_what_is_none(self, given: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            read_lines(given)

    def test_it_says_what_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("")
        assert repr(read_lines(path)) == f"read_lines({str(path)!r})"
        assert repr(read_jsonl([path])) == f"read_jsonl({[path]!r})"


class TestCompressed:
    @pytest.mark.parametrize("suffix", COMPRESSIONS)
    def test_by_suffix_and_by_first_bytes(self, suffix: str, tmp_path: Path) -> None:
        data = COMPRESSIONS[suffix](DATA)
        for name in (f"by-suffix{suffix}", "by-bytes"):
            (tmp_path / name).write_bytes(data)
            assert results(read_lines(tmp_path / name)) == LINES
            assert results(read_lines(tmp_path / name, encoding=None)) == [line.encode() for line in LINES]

    @pytest.mark.parametrize("suffix", COMPRESSIONS)
    def test_several_members_in_one_file(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"members{suffix}"
        path.write_bytes(COMPRESSIONS[suffix](DATA) + COMPRESSIONS[suffix](DATA))
        assert results(read_lines(path)) == LINES * 2

    @pytest.mark.parametrize("suffix", COMPRESSIONS)
    def test_one_that_is_cut_off_names_itself(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"cut{suffix}"
        data = COMPRESSIONS[suffix](os.urandom(300_000).hex().encode() + b"\n" + DATA)
        path.write_bytes(data[:-20])
        with pytest.raises(EOFError) as caught:
            results(read_jsonl(path) if suffix == ".gz" else read_lines(path, encoding=None))
        assert str(path) in str(caught.value)

    def test_text_that_begins_like_bzip2(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("BZhang, Li\n")
        assert results(read_lines(tmp_path / "text")) == ["BZhang, Li"]

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        assert results(read_lines(tmp_path / "empty")) == []
        assert results(read_csv(tmp_path / "empty")) == []

    def test_one_that_only_its_name_says_is_compressed(self, tmp_path: Path) -> None:
        (tmp_path / "plain.gz").write_bytes(DATA)
        with pytest.raises(gzip.BadGzipFile):
            results(read_lines(tmp_path / "plain.gz"))


class TestElsewhere:
    def test_a_url_of_fsspec(self) -> None:
        import fsspec

        with fsspec.open("memory://logs/b.jsonl.gz", "wb") as file:
            file.write(gzip.compress(b"2\n"))
        with fsspec.open("memory://logs/a.jsonl", "wb") as file:
            file.write(b"1\n")
        assert results(read_jsonl("memory://logs/a.jsonl")) == [1]
        assert results(read_jsonl("memory://logs/*.jsonl*")) == [1, 2]
        with pytest.raises(FileNotFoundError, match="memory://logs/c"):
            read_jsonl("memory://logs/c")
        with pytest.raises(FileNotFoundError, match="finds no file"):
            read_jsonl("memory://nothing/*")

    def test_without_fsspec_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(
            ImportError, match=r"s3://bucket/key needs the package fsspec: pip install 'conveyor\[files\]'"
        ):
            read_lines("s3://bucket/key")

    @pytest.mark.parametrize("data", [DATA, gzip.compress(DATA)], ids=["plain", "gzip"])
    def test_standard_input(self, data: bytes) -> None:
        program = (
            "import conveyor; print(len(conveyor.Pipeline(conveyor.read_lines('-')).to(list).run().result))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], input=data, capture_output=True, check=True, timeout=60
        )
        assert done.stdout == b"1000\n"

    def test_standard_input_that_does_not_end_keeps_nobody(self) -> None:
        program = (
            "import conveyor\n"
            "for line in conveyor.Pipeline(conveyor.read_lines('-')).stream():\n    print(line)\n    break\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            process.stdin.write(b"first\n")
            process.stdin.flush()
            assert process.wait(60) == 0
            assert process.stdout is not None
            assert process.stdout.read() == b"first\n"

    def test_standard_input_of_the_programs_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
        assert results(read_lines("-")) == ["a", "b"]


class TestJsonLines:
    def test_values(self, tmp_path: Path) -> None:
        values = [{"a": 1, "ü": "ß\u2028"}, [1, 2], None, "text", 1.5]
        path = tmp_path / "values.jsonl"
        text = "\n".join(json.dumps(value, ensure_ascii=False) for value in values)
        path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\n\n").encode() + b"\r\n \n")
        assert results(read_jsonl(path)) == values

    @pytest.mark.parametrize("bad", [b'{"a": }', b"\xff\xfe", b"[" * 100_000])
    def test_a_line_that_is_none_is_named(self, bad: bytes, tmp_path: Path) -> None:
        path = tmp_path / "bad.jsonl"
        path.write_bytes(b"1\n\n" + bad + b"\n4\n")
        with pytest.raises(ValueError, match=rf"{path}, line 3: no JSON, "):
            results(read_jsonl(path))


class TestCsv:
    def test_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes('\ufeffname,age\r\n"a, b",1\r\n\r\n"two\nlines",\r\n"quote ""q""",3'.encode())
        assert results(read_csv(path, types={"age": int})) == [
            {"name": "a, b", "age": 1},
            {"name": "two\nlines", "age": None},
            {"name": 'quote "q"', "age": 3},
        ]
        assert results(read_csv(path))[0] == {"name": "a, b", "age": "1"}

    def test_without_a_header_and_with_another_delimiter(self, tmp_path: Path) -> None:
        (tmp_path / "rows").write_text("1;2\n3;4\n")
        rows = read_csv(tmp_path / "rows", header=["a", "b"], delimiter=";", types={"b": float})
        assert results(rows) == [{"a": "1", "b": 2.0}, {"a": "3", "b": 4.0}]

    def test_each_file_has_its_header(self, tmp_path: Path) -> None:
        (tmp_path / "1.csv").write_text("a,b\n1,2\n")
        (tmp_path / "2.csv").write_text("b,a\n3,4\n")
        assert results(read_csv(tmp_path / "*.csv")) == [{"a": "1", "b": "2"}, {"a": "4", "b": "3"}]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\n1,2\n\n1,2,3\n", "line 4: 3 values for 2 columns: '1,2,3'"),
            ('b,a\n"1\n1",2\n1\n', "line 4: 1 value for 2 columns: '1'"),
            ("a,a\n1,2\n", "line 1: two columns are called 'a'"),
            ("b\n1\n", "line 1: there is no column 'a', which types names"),
            ("a,b\nx,2\n", "line 2: column 'a' is 'x': invalid literal for int"),
            (
                f"a,b\n1,{'x' * 140_000}\n",
                r"line 2: field larger than field limit .*; csv.field_size_limit\(\)",
            ),
        ],
    )
    def test_a_row_that_does_not_fit_is_named(self, text: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_text(text)
        with pytest.raises(ValueError, match=f"{path}, {message}"):
            results(read_csv(path, types={"a": int}))

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes(b"a\nok\n\xff\n")
        with pytest.raises(ValueError, match=f"{path}, line .* is no utf-8"):
            results(read_csv(path))
        assert results(read_csv(path, encoding="latin-1"))[-1] == {"a": "ÿ"}

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"header": "name"}, TypeError, "header of read_csv.. is 'name'"),
            ({"header": False}, ValueError, "header of read_csv.. is False; say what the columns are"),
            ({"types": {"a": "int"}}, TypeError, "types of read_csv.. has 'int' for 'a'"),
            ({"seperator": ";"}, TypeError, "unexpected keyword argument 'seperator'"),
            ({"delimiter": ";;"}, TypeError, "delimiter"),
            ({"dialect": "nosuch"}, ValueError, "unknown dialect"),
        ],
    )
    def test_wrong_options(self, options: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a\n")
        with pytest.raises(error, match=message):
            read_csv(tmp_path / "a.csv", **options)


class TestInWorkers:
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_a_file_for_each_worker(self, method: Any, tmp_path: Path) -> None:
        for number in range(4):
            (tmp_path / f"{number}.jsonl").write_text(f"{number}\n{number}\n")
        report = (
            Pipeline(sorted(tmp_path.glob("*.jsonl")))
            .flat_map(read_jsonl, workers=2, ordered=True)
            .to(list)
            .run(start_method=method)
        )
        assert report.result == [0, 0, 1, 1, 2, 2, 3, 3]

    def test_in_threads(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a\n1\n")
        report = Pipeline([tmp_path / "a.csv"] * 3).flat_map(read_csv, threads=2).to(list).run()
        assert report.result == [{"a": "1"}] * 3

    def test_an_error_names_the_file_and_the_line(self, tmp_path: Path) -> None:
        (tmp_path / "bad.jsonl").write_text("1\nx\n")
        with pytest.raises(ValueError, match=r"bad.jsonl, line 2: no JSON"):
            Pipeline([tmp_path / "bad.jsonl"]).flat_map(read_jsonl, workers=1).run()


class TestProgress:
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_it_is_told_in_bytes(self, suffix: str, tmp_path: Path) -> None:
        paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
        data = DATA * 100
        for path in paths:
            path.write_bytes(gzip.compress(data) if suffix else data)
        told: list[Progress] = []
        gate = threading.Event()

        def look(progress: Progress) -> None:
            told.append(progress)
            if progress.taken:
                gate.set()

        def wait(line: str) -> None:
            gate.wait(30)

        Pipeline(read_lines(paths)).map(wait, threads=1).run(progress=look)
        total = sum(path.stat().st_size for path in paths)
        assert {progress.bytes_total for progress in told} == {total}
        read = [progress.bytes_read for progress in told]
        assert read == sorted(read, key=lambda number: number or 0)
        assert told[0].share is not None
        assert told[0].share < 1
        assert told[-1].bytes_read == total

    def test_of_other_sources_it_knows_nothing(self) -> None:
        told: list[Progress] = []
        Pipeline(iter([1, 2])).run(progress=told.append)
        assert told[-1].bytes_total is told[-1].bytes_read is told[-1].share is None


class TestResume:
    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        paths = [tmp_path / "1.csv.gz", tmp_path / "2.csv"]
        paths[0].write_bytes(gzip.compress(b"a\n1\n2\n3\n"))
        paths[1].write_text("a\n4\n5\n")
        return paths

    def test_it_goes_on_across_files(self, paths: list[Path], tmp_path: Path) -> None:
        state = tmp_path / "state.db"

        def up_to_four(row: dict[str, str]) -> str:
            if row["a"] == "4":
                raise KeyError(row["a"])
            return row["a"]

        with pytest.raises(KeyError):
            Pipeline(read_csv(paths)).map(up_to_four, threads=1, ordered=True).run(resume=state)
        report = Pipeline(read_csv(paths)).map(dict, threads=1, ordered=True).to(list).run(resume=state)
        assert report.resumed >= 3
        assert report.resumed + report.taken == 5
        assert {"a": "4"} in report.result

    def test_other_files_are_another_source(self, paths: list[Path], tmp_path: Path) -> None:
        def run(source: Any) -> Any:
            return Pipeline(source).map(dict, threads=1).run(resume=tmp_path / "state.db")

        run(read_csv(paths))
        for other in (
            read_csv(paths[::-1]),
            read_csv(paths[:1]),
            read_csv(paths, delimiter=";"),
            read_jsonl(paths),
        ):
            with pytest.raises(PipelineError, match="was made for another source"):
                run(other)
        paths[1].write_text("a\n4\n6\n")
        with pytest.raises(PipelineError, match="was made for another source"):
            run(read_csv(paths))

    def test_standard_input_cannot_be_read_again(self, tmp_path: Path) -> None:
        with pytest.raises(PipelineError, match="standard input cannot; put it into a file"):
            Pipeline(read_lines("-")).map(str, threads=1).run(resume=tmp_path / "state.db")
