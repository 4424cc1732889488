"""`conveyor map --pipe`: commands that read the input, in blocks of whole lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def mapped(data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "conveyor", "map", *words],
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )


LINES = b"".join(b"line %d\n" % number for number in range(20_000))


@pytest.mark.parametrize("size", ["1", "7", "64", "4K", "64k", "1M", "1G"])
def test_every_line_is_read_once_and_in_order(size: str) -> None:
    data = LINES if size not in ("1", "7") else LINES[:500]
    done = mapped(data, "-j3", "--pipe", "--block", size, "--shell", "cat")
    assert (done.returncode, done.stdout) == (0, data), done.stderr


def test_blocks_are_whole_lines_of_about_the_size() -> None:
    done = mapped(LINES, "--pipe", "--block", "10K", "--shell", "wc -c")
    sizes = [int(line) for line in done.stdout.split()]
    assert sum(sizes) == len(LINES)
    assert all(10 * 1024 - 12 < size <= 10 * 1024 for size in sizes[:-1])


def test_blocks_of_so_many_lines() -> None:
    done = mapped(b"a\nb\nc\nd\ne", "--pipe", "-N", "2", "--shell", "tr '\\n' +; echo")
    assert done.stdout == b"a+b+\nc+d+\ne\n"


def test_lines_larger_than_a_block_and_a_last_one_without_an_end() -> None:
    long = b"x" * 300_000
    data = b"short\n" + long + b"\nshort\n" + long
    done = mapped(data, "--pipe", "--block", "1K", "--shell", "wc -c")
    assert [int(line) for line in done.stdout.split()] == [6, 300_001, 6, 300_000]


def test_records_that_end_with_a_zero_byte() -> None:
    done = mapped(b"a\0b\0c\0", "-0", "--pipe", "-N1", "--shell", "tr '\\0' .; echo")
    assert done.stdout == b"a.\nb.\nc.\n"


def test_numbers_shells_and_words() -> None:
    done = mapped(b"a\nb\n", "-j1", "--pipe", "-N1", "--shell", "echo {#} {%} \"$(cat)\" 'it is'")
    assert done.stdout == b"1 1 a it is\n2 1 b it is\n"
    assert mapped(b"b\na\n", "--pipe", "--shell", "sort -r").stdout == b"b\na\n"


def test_no_input_is_no_command() -> None:
    done = mapped(b"", "--pipe", "--shell", "echo called")
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_command_that_does_not_read_and_one_that_fails() -> None:
    assert mapped(LINES, "--pipe", "--shell", "true").returncode == 0
    done = mapped(b"good\nbad\ngood\n", "--pipe", "-N1", "--shell", "grep good")
    assert (done.returncode, done.stdout) == (1, b"good\ngood\n")
    assert b"item 2" in done.stderr
    assert b"exit code 1" in done.stderr


def test_tried_again_it_reads_the_same_block(tmp_path: Path) -> None:
    command = f"test -e {tmp_path}/mark || {{ cat >/dev/null; touch {tmp_path}/mark; exit 3; }}; cat"
    done = mapped(b"a\nb\n", "--pipe", "--retries", "1", "--shell", command)
    assert (done.returncode, done.stdout) == (0, b"a\nb\n"), done.stderr


def test_resumed_by_its_log(tmp_path: Path) -> None:
    words = ["--pipe", "-N1", "--joblog", str(tmp_path / "log"), "--shell", "cat"]
    assert mapped(b"a\nb\n", *words).stdout == b"a\nb\n"
    assert mapped(b"a\nb\nc\n", "--resume", *words).stdout == b"c\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"a\nbb\n", ["-N1"]), (b"a\nb\nc\n", ["--block", "4"]), (b"a\nb\n", ["-N1", "-0"])],
    ids=["other lines", "another size", "other records"],
)
def test_not_resumed_with_other_blocks(tmp_path: Path, data: bytes, words: list[str]) -> None:
    log = ["--pipe", "--joblog", str(tmp_path / "log"), "--shell", "cat"]
    assert mapped(b"a\nb\n", "-N1", *log).stdout == b"a\nb\n"
    done = mapped(data, "--resume", *words, *log)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"was another one" in done.stderr


def test_a_block_that_failed_is_logged_and_tried_again(tmp_path: Path) -> None:
    log = ["--pipe", "-N1", "--joblog", str(tmp_path / "log"), "--shell", f"grep -f {tmp_path}/wanted"]
    (tmp_path / "wanted").write_text("a\n")
    done = mapped(b"a\nb\n", *log)
    assert (done.returncode, done.stdout) == (1, b"a\n")
    assert b"item 2 of 2 bytes: exit code 1" in done.stderr
    (tmp_path / "wanted").write_text("b\n")
    assert mapped(b"a\nb\n", "--resume-failed", *log).stdout == b"b\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--pipe", "json:loads"], b"--pipe is for commands"),
        (["--pipe", "--shell", "cat", ":::", "a"], b"--pipe cuts the input into blocks"),
        (["--pipe", "--results", "out", "--shell", "cat"], b"--results names folders"),
        (["--block", "1M", "--shell", "cat"], b"it needs --pipe"),
        (["--pipe", "--block", "1X", "--shell", "cat"], b"--block is '1X'; it must be bytes"),
        (["--pipe", "--block", "0", "--shell", "cat"], b"--block is '0'"),
        (["--pipe", "--block", "1K", "-N", "1", "--shell", "cat"], b"only one of them can be had"),
        (["--pipe", "--shell", "{}"], b"{} and its like stand for nothing"),
        (["--pipe", "--shell", "grep {2/.}"], b"stand for nothing"),
        (["--pipe", "-I", "%", "--shell", "cat %"], b"% and its like stand for nothing"),
        (["--pipe", "-N", "0", "--shell", "cat"], b"-N is 0; it must be at least 1"),
        (["--pipe", "-N", "-1", "--shell", "cat"], b"-N is -1; it must be at least 1"),
    ],
)
def test_what_cannot_be(words: list[str], says: bytes) -> None:
    done: Any = mapped(b"a\n", *words)
    assert done.returncode == 2
    assert says in done.stderr
