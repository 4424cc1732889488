"""Ends of children of which the program is not told: SIGCHLD is ignored, or something else waits for any child.

What a process holds does not go by it (docs/reliability.md): an end by exit is told from a death all the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, until
from test_normal_end import Things, check_what_nobody_else_can_give_back, take_everything

import conveyor.multiprocessing as multiprocessing

PROGRAM = Path(__file__).with_name("pool_unseen_ends.py")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["ignored", "handler", "thief"])
def test_a_pool_replaces_its_workers(how: str, method: str) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, how, method], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def reap(*_: Any) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


@pytest.fixture(params=["ignored", "handler"])
def unseen(request: pytest.FixtureRequest) -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN if request.param == "ignored" else reap)
    yield
    signal.signal(signal.SIGCHLD, before)


def run(method: str, things: Things, way: str) -> None:
    process = multiprocessing.get_context(method).Process(target=take_everything, args=(things, way))
    process.start()
    assert multiprocessing.connection.wait([process.sentinel], 30)
    # What it has become by `exec` may live on for a moment.
    until(lambda: not Path(f"/proc/{process.pid}").exists(), "it has ended, and somebody was told")
    # Else `multiprocessing` keeps what it can learn nothing of any more, with its descriptors.
    popen: Any = process._popen  # type: ignore[attr-defined]
    if popen.poll() is None:
        popen.returncode = 255
    process.join()
    process.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["return", "os._exit(7)"])
def test_an_exit_keeps_what_others_may_give_back(unseen: None, method: str, way: str) -> None:
    things = Things()
    run(method, things, way)
    assert [lock.acquire(timeout=0.1) for lock in things.locks()] == [False] * 5
    assert things.tasks.join(timeout=0.1) is False
    for lock in (things.lock, things.semaphore, things.bounded):
        lock.release()
        assert lock.acquire(False) is True
        assert not lock.recovered
    things.tasks.task_done()
    assert things.tasks.join(timeout=30) is True
    check_what_nobody_else_can_give_back(things)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["SIGKILL", "exec"])
def test_a_death_gives_everything_back(unseen: None, method: str, way: str) -> None:
    things = Things()
    run(method, things, way)
    for lock in (things.lock, things.semaphore, things.bounded, things.rlock):
        assert lock.acquire(timeout=30) is True
        assert lock.recovered
    assert things.tasks.join(timeout=30) is True
    check_what_nobody_else_can_give_back(things)
