"""`conveyor run`: what goes where, what it says, and its exit code."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conveyor.cli.run import explain
from conveyor.errors import WorkerLost, WorkerPoolBroken

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "conveyor", "run"]


def run(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )


class TestStreams:
    def test_the_report_is_on_standard_output(self) -> None:
        done = run("piped.py:numbers")
        assert done.returncode == 0
        assert "numbers: 10 items in " in done.stdout
        assert done.stderr == ""

    def test_json_is_alone_there(self) -> None:
        done = run("piped.py:numbers", "--json", "--start-method", "spawn")
        assert json.loads(done.stdout)["results"] == 10
        assert done.stderr.count("at ") == 10

    @pytest.mark.parametrize("name", ["written", "printed"])
    def test_items_that_are_written_there_are_alone_there(self, name: str) -> None:
        done = run(f"piped.py:{name}")
        assert done.stdout.split() == ["0", "1", "2"]
        assert f"{name}: 3 items in " in done.stderr

    def test_failures_and_deaths_are_told_without_a_terminal(self) -> None:
        done = run("piped.py:skipped")
        assert done.returncode == 1
        assert re.search(
            r"^skipped: fails: item 3 failed: ValueError: no three .*; the item: 3$",
            done.stderr,
            re.MULTILINE,
        )
        done = run("piped.py:killed")
        assert done.returncode == 1
        assert done.stderr.count("killed by SIGKILL") == 1
        assert "1 worker died" in done.stdout

    def test_a_page(self, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        assert run("piped.py:numbers", "--html", str(page)).returncode == 0
        assert page.read_text().startswith("<!doctype html>")


class TestEndings:
    def test_the_same_chances_with_the_same_seed(self) -> None:
        first, second, other = (run("piped.py:chances", "--seed", seed).stdout for seed in ("5", "5", "6"))
        assert len(first.splitlines()) == 5
        assert first == second != other

    def test_what_workers_log_comes_here_unless_it_is_not_wanted(self) -> None:
        done = run("piped.py:chances", "--start-method", "spawn")
        assert sorted(re.findall("here: drew for (.)", done.stderr)) == list("01234")
        done = run("piped.py:chances", "--start-method", "spawn", "--no-logs")
        assert "here: drew" not in done.stderr

    def test_inline_is_in_this_process(self) -> None:
        assert [line.split()[1] for line in run("piped.py:chances", "--inline").stdout.splitlines()] == [
            "True"
        ] * 5
        assert "True" not in run("piped.py:chances").stdout

    def test_what_stopped_it(self) -> None:
        done = run("piped.py:stopped")
        assert done.returncode == 1
        assert "in fails\n" in done.stderr  # the worker's traceback, and none of ours
        assert "to_the_end" not in done.stderr
        assert "_InWorker" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith(
            "conveyor run: stopped by ValueError: no three (in stage 'fails'"
        )

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (WorkerPoolBroken("10 workers died"), 6),
            (WorkerLost("killed", 7, -9), 1),
            (KeyError("k"), 1),
            (KeyboardInterrupt(), 130),
            (SystemExit(143), 143),
        ],
    )
    def test_codes(self, error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
        assert explain(error) == code
        said = capsys.readouterr().err
        assert ("Traceback" in said or "KeyError" in said) == isinstance(error, KeyError)
        assert said.startswith("conveyor run: stopped by Worker") == isinstance(
            error, (WorkerPoolBroken, WorkerLost)
        )

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["piped.py:nothing"], "piped.py has no 'nothing'"),
            (["piped.py:number"], "piped.py:number is of type int; it must be a Pipeline"),
            (["piped.py:broken"], "called without arguments, raised RuntimeError: boom \\(.*piped.py:"),
            (["piped.py:endless"], "must be a Pipeline"),
            (["piped.py:half_a_second"], "raised TypeError: .*missing 1 required"),
            (["nowhere.py:x"], "there is no file nowhere.py"),
            (["piped.py"], "names no pipeline"),
            (["/etc/passwd:x"], "^conveyor run: /etc/passwd is no Python file; give a .py file"),
            (["piped.py:numbers", "--html", "/nowhere/page.html"], "there is no such folder"),
            (["piped.py:numbers", "-j", "0"], "--jobs is '0'"),
            (["piped.py:numbers", "--max-failures", "many"], "max_failures is 'many'"),
        ],
    )
    def test_wrong_words(self, words: list[str], text: str) -> None:
        done = run(*words)
        assert done.returncode == 2
        assert re.search(text, done.stderr), done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


@contextmanager
def on_a_terminal(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=HERE, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=env
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(fd: int, pattern: str, seconds: float = 20) -> str:
    """What is written until the pattern is there; all that comes if it is empty."""
    text = ""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            more = os.read(fd, 65536)
        except OSError:  # the other side is closed
            more = b""
        if not more:
            assert not pattern, text
            return text
        text += more.decode("utf-8", "replace")
        if pattern and re.search(pattern, text):
            return text
    raise AssertionError(text)


class TestTerminal:
    def test_a_line_for_each_stage_then_one_interrupt_drains(self) -> None:
        with on_a_terminal("piped.py:forever") as (process, fd):
            shown = read_until(fd, r"2 workers[^\x00]*to list")
            assert re.search(r"half_a_second.* held", shown)
            process.send_signal(signal.SIGINT)
            rest = read_until(fd, "")
            assert "SIGINT: finishing" in rest
            assert "in flight; Ctrl-C again stops now" in rest
            assert rest.count("forever: ") == 2  # that, and the report: not twice
            assert process.wait(20) == 0

    def test_a_second_interrupt_stops(self) -> None:
        with on_a_terminal("piped.py:forever") as (process, fd):
            read_until(fd, r"to list")
            process.send_signal(signal.SIGINT)
            read_until(fd, "Ctrl-C again")
            process.send_signal(signal.SIGINT)
            read_until(fd, "")
            assert process.wait(20) == 130
