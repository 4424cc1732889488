"""`conveyor map`: where items come from, what the job log says, and that a run goes on where a killed one was."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t", 8) for line in path.read_text().splitlines()]


class TestLines:
    def test_are_those_of_gnu_parallel(self, run: Any, tmp_path: Path) -> None:
        log = tmp_path / "log"
        words = ["--shell", "{}", ":::", "echo abc", "exit 3", "kill -9 $$", "a='x\ny'"]
        run("map", "-j1", "--joblog", str(log), *words)
        head, *lines = rows(log)
        assert head == [
            "Seq",
            "Host",
            "Starttime",
            "JobRuntime",
            "Send",
            "Receive",
            "Exitval",
            "Signal",
            "Command",
        ]
        assert [(line[0], line[1], *line[5:]) for line in lines] == [
            ("1", ":", "4", "0", "0", "echo abc"),
            ("2", ":", "0", "3", "0", "exit 3"),
            ("3", ":", "0", "0", "9", "kill -9 $$"),
            ("4", ":", "0", "0", "0", "a='x\0y'"),
        ]
        assert all(abs(float(line[2]) - time.time()) < 60 and 0 <= float(line[3]) < 60 for line in lines)

    @pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
    def test_gnu_parallel_goes_on_behind_them(self, run: Any, tmp_path: Path) -> None:
        log = tmp_path / "log"
        run("map", "--joblog", str(log), "--shell", "echo {}", ":::", "a", "b")
        command = ["parallel", "--joblog", str(log), "--resume", "echo {}", ":::", "a", "b", "c"]
        assert subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL) == "c\n"
        assert run("map", "--joblog", str(log), "--resume", "--shell", "echo {}", ":::", *"abcd").out == "d\n"

    def test_of_a_function(self, run: Any, tmp_path: Path) -> None:
        log = tmp_path / "log"
        done = run("map", "-j1", "--joblog", str(log), "builtins:int", stdin="1\nx\n3\n")
        assert (done.code, done.out) == (1, "1\n3\n")
        assert [line[6] for line in rows(log)[1:]] == ["0", "1", "0"]

    def test_a_dry_run_writes_none(self, run: Any, tmp_path: Path) -> None:
        run("map", "--dry-run", "--joblog", str(tmp_path / "log"), "--shell", "echo", ":::", "a")
        assert not (tmp_path / "log").exists()


class TestResume:
    def test_leaves_out_what_is_done(self, run: Any, tmp_path: Path) -> None:
        log = str(tmp_path / "log")
        words = ["--joblog", log, "--shell", "echo {#} {}; test {} != b"]
        assert run("map", *words, ":::", "a", "b").out == "1 a\n2 b\n"
        done = run("map", "--resume", *words, ":::", "a", "b", "c")
        assert (done.code, done.out) == (0, "3 c\n")
        done = run("map", "--resume-failed", *words, ":::", "a", "b", "c")
        assert (done.code, done.out) == (1, "2 b\n")
        assert "2 done before" in done.err
        assert run("map", *words, ":::", "z").out == "1 z\n"  # without --resume it begins anew
        assert len(rows(Path(log))) == 2

    def test_refuses_another_input(self, run: Any, tmp_path: Path) -> None:
        words = ["--joblog", str(tmp_path / "log"), "--shell", "echo {}"]
        run("map", *words, ":::", "a", "b")
        done = run("map", "--resume", *words, ":::", "b", "a")
        assert done.code == 2
        assert "item 1 is now 'echo b', and was another one" in done.err

    def test_half_a_line_is_none(self, run: Any, tmp_path: Path) -> None:
        log = tmp_path / "log"
        words = ["--joblog", str(log), "--shell", "echo {}"]
        run("map", *words, ":::", "a", "b")
        log.write_bytes(log.read_bytes()[:-3])
        assert run("map", "--resume", *words, ":::", "a", "b").out == "b\n"
        assert len(rows(log)) == 3

    def test_another_file_is_no_log(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("something\nelse\n")
        done = run("map", "--joblog", str(tmp_path / "log"), "--resume", "--shell", "echo", ":::", "a")
        assert done.code == 2
        assert "line 1 of" in done.err
        assert "is none of a job log" in done.err

    @pytest.mark.parametrize("ordered", [True, False])
    @pytest.mark.parametrize("work", ["command", "function"])
    def test_after_kills_at_random_moments(
        self, environment: dict[str, str], function: Any, tmp_path: Path, ordered: bool, work: str
    ) -> None:
        """Each item is done, each result is printed, and few of them twice."""
        count = 300
        source, log, printed = tmp_path / "in", tmp_path / "log", tmp_path / "out"
        source.write_text("".join(f"{number}\n" for number in range(count)))
        words = ["map", "-j3", "--joblog", str(log), "--resume", "-a", str(source)]
        words += [] if ordered else ["--unordered"]
        words += ["--shell", "sleep 0.00$(({} % 10)); echo {}"] if work == "command" else [function("same")]
        choose = random.Random(8)
        code = None
        for _ in range(8):
            code = self.run_for(choose.randint(1, 60), words, environment, log, printed)
        while code != 0:
            code = self.run_for(count, words, environment, log, printed)
            assert code in (0, -signal.SIGKILL)
        counts = Counter(int(line) for line in printed.read_text().split())
        assert counts.keys() == set(range(count))
        assert sorted(int(line[0]) for line in rows(log)[1:]) == list(range(1, count + 1))

    @staticmethod
    def run_for(items: int, words: list[str], environment: dict[str, str], log: Path, printed: Path) -> int:
        """Kill a run when the log has so many items more, or the run has ended."""

        def size() -> int:
            return log.read_bytes().count(b"\n") if log.exists() else 1

        target = size() + items
        with printed.open("ab") as out:
            command = [sys.executable, "-m", "conveyor", *words]
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=environment)
            deadline = time.monotonic() + 60
            while process.poll() is None and size() < target and time.monotonic() < deadline:
                time.sleep(0.001)
            process.kill()
            return process.wait()


class TestInputs:
    def test_words(self, run: Any) -> None:
        assert run("map", "--shell", "printf '%s\n' {}", ":::", "a b", "-j", "--help").lines == [
            "a b",
            "-j",
            "--help",
        ]
        assert run("map", "--shell", "echo {}", "--args", "a", "b").lines == ["a", "b"]
        assert run("map", "builtins:len", ":::", "abc", "d").lines == ["3", "1"]

    def test_each_with_each_and_one_by_one(self, run: Any) -> None:
        assert run("map", "--shell", "echo {1}{2}", ":::", "a", "b", ":::", "1", "2").lines == [
            "a1",
            "a2",
            "b1",
            "b2",
        ]
        assert run("map", "--shell", "echo {2}{1}", ":::", "a", "b", "c", ":::+", "1", "2").lines == [
            "1a",
            "2b",
            "1c",
        ]
        assert run("map", "posixpath:join", ":::", "a", ":::", "b", "c").lines == ["a/b", "a/c"]

    def test_files(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("a\nb")
        (tmp_path / "g").write_text("1\n\n")
        assert run("map", "--shell", "echo {}", "-a", "f", cwd=tmp_path).lines == ["a", "b"]
        assert run("map", "--shell", "echo {}", "-a", "f", "-a", "g", cwd=tmp_path).lines == [
            "a 1",
            "a ",
            "b 1",
            "b ",
        ]
        assert run("map", "--shell", "echo {}", "::::", "f", "-", stdin="x\n", cwd=tmp_path).lines == [
            "a x",
            "b x",
        ]

    def test_null(self, run: Any) -> None:
        assert run("map", "-0", "--shell", "printf '<%s>' {}", stdin="a\nb\0c\0").out == "<a\nb><c>"

    def test_columns_and_groups(self, run: Any) -> None:
        assert run("map", "-C", ", *", "--shell", "echo {2} {-2} {3}.", stdin="a, b\n").out == "b a .\n"
        assert run("map", "-N", "2", "--shell", "echo {#}: {}", stdin="a\nb\nc\n").lines == ["1: a b", "2: c"]
        assert run("map", "--colsep", ",", "builtins:pow", "--jsonl", stdin="2,3\n").out == "8\n"

    def test_another_name_of_the_item(self, run: Any) -> None:
        assert run("map", "-I", "%%", "--shell", "echo %% {}", ":::", "a").out == "a {}\n"

    def test_no_items(self, run: Any) -> None:
        assert run("map", "--shell", "echo {}", ":::").out == ""
        assert run("map", "--shell", "echo {}", ":::", "a", ":::").out == ""

    def test_an_item_is_begun_when_it_comes(self, start: Any, read_until: Any) -> None:
        running = start("map", "--shell", "echo {}")
        for number in range(3):
            running.send(f"{number}\n")
            assert read_until(running.out, lambda data: data.endswith(b"\n")) == f"{number}\n".encode()
        assert running.finish().code == 0
