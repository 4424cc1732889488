"""`conveyor dump PID`: what each thread waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
GUARD = 60.0


@pytest.fixture
def watched() -> Iterator[subprocess.Popen[str]]:
    """A process of which one thread waits for an item, and one for room."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "watched.py"), f"d{os.getpid()}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.communicate(timeout=60)


def waits_of(run: Any, pid: int) -> list[dict[str, Any]]:
    """The process's entry, when both threads are seen to wait."""
    end = time.monotonic() + GUARD
    while True:
        entries = json.loads(run("dump", "--json", str(pid)).out)
        waits = [
            wait
            for each in entries
            if each["pid"] == pid
            for thread in each["threads"]
            for wait in thread["waits"]
        ]
        if len(waits) == 2:
            return waits
        assert time.monotonic() < end, entries


def test_what_threads_wait_for(run: Any, watched: subprocess.Popen[str]) -> None:
    prefix = f"d{os.getpid()}"
    waits = waits_of(run, watched.pid)
    assert sorted((each["what"], each["side"], each["label"]) for each in waits) == [
        ("item", "get", f"{prefix}-empty"),
        ("room", "put", f"{prefix}-full"),
    ]
    assert all(each["seconds"] > 0 for each in waits)
    done = run("dump", str(watched.pid))
    assert f"waits for item (get) of the queue {prefix}-empty, cli/watched.py:" in done.out
    assert f"waits for room (put) of the queue {prefix}-full, cli/watched.py:" in done.out
    assert done.lines[-1] == f"For the stacks of Python calls: py-spy dump --pid {watched.pid}"


def test_children_are_told_of(run: Any, watched: subprocess.Popen[str]) -> None:
    entries = json.loads(run("dump", "--json", str(os.getpid())).out)
    assert entries[0]["pid"] == os.getpid()
    assert watched.pid in [each["pid"] for each in entries]
    assert entries[0]["threads"][0]["tid"] == os.getpid()


def test_workers_are_told_of(run: Any, start: Any, gate: Any) -> None:
    running = start("run", f"{HERE / 'pipelines.py'}:gated")
    pids = set(gate.wait_begun(2).values())
    end = time.monotonic() + GUARD
    while True:
        entries = json.loads(run("dump", "--json", str(running.pid)).out)
        busy = {each["pid"] for each in entries for worker in each["workers"] if worker["state"] == "busy"}
        if busy == pids:
            break
        assert time.monotonic() < end, entries
    running.process.kill()
    gate.open(200)


def test_no_such_process(run: Any) -> None:
    done = run("dump", "4194304")
    assert (done.code, done.out) == (3, "")
    assert "there is no process 4194304" in done.err
