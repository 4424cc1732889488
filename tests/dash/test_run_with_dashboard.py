"""A run that shows a dashboard meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import sys, threading
from conveyor import Pipeline

def work(value):
    return value

def endless():
    yield from range(10)
    print("begun", flush=True)
    sys.stdin.readline()
    yield 10

if __name__ == "__main__":
    Pipeline(endless(), name="shown").map(work, threads=1).run(dashboard=True)
    print("done", flush=True)
"""


def opened(url: str, path: str = "") -> bytes:
    with urllib.request.urlopen(url + path, timeout=30) as answer:
        found: bytes = answer.read()
        return found


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def url_of(program: subprocess.Popen[str]) -> str:
    assert program.stderr is not None
    match = re.search(r"dashboard at (http://\S+)", program.stderr.readline())
    assert match is not None
    return match[1]


def is_served(url: str) -> bool:
    try:
        opened(url, "healthz")
    except OSError:
        return False
    return True


def test_it_is_there_while_the_run_lasts(program: subprocess.Popen[str]) -> None:
    url = url_of(program)
    assert program.stdout is not None
    assert program.stdin is not None
    assert program.stdout.readline() == "begun\n"
    end = time.monotonic() + 60
    while not any(
        run["name"] == "shown" and run["pid"] == program.pid
        for run in json.loads(opened(url, "api/pipelines"))
    ):
        assert time.monotonic() < end
        time.sleep(0.1)
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.stdout.readline() == "done\n"
    assert not is_served(url)
    program.communicate()
    assert program.returncode == 0


def test_it_ends_with_a_run_that_is_killed(program: subprocess.Popen[str]) -> None:
    url = url_of(program)
    assert is_served(url)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()
    end = time.monotonic() + 60
    while is_served(url):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_process_that_is_not_there_is_told() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = subprocess.run(
        [sys.executable, "-m", "conveyor", "dash", "--while", str(gone.pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "no such process" in done.stderr
