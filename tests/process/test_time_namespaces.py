"""Processes in new time namespaces, as restored containers are: times of leases and waits mean the same in all."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import crew, finish

import conveyor
from conveyor.errors import LeaseLost

CLONE_NEWTIME = 0x80
AHEAD_SECONDS = 100_000
BRIEFLY, LONG = 0.3, 600.0
_libc = ctypes.CDLL(None, use_errno=True)


def give_children_another_clock(seconds: int) -> None:
    if _libc.unshare(CLONE_NEWTIME) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/timens_offsets").write_text(f"monotonic {seconds} 0\nboottime {seconds} 0\n")


def may_unshare() -> bool:
    child = os.fork()
    if child == 0:
        try:
            give_children_another_clock(1)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


pytestmark = pytest.mark.skipif(not may_unshare(), reason="no right to make a time namespace")


def start(method: str, offset: int, target: Callable[..., object], *arguments: Any) -> None:
    """In a process of its own: run the function in one of another clock, started by that method."""
    give_children_another_clock(offset)
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=target, args=(offset, *arguments))
    process.start()
    process.join()
    raise SystemExit(process.exitcode)


def work(offset: int, now: float, queue: Any, answers: Any, value: Any, condition: Any) -> None:
    assert abs(time.monotonic() - now - offset) < 1000  # the clock is another one
    with pytest.raises(conveyor.Empty):
        queue.get(timeout=BRIEFLY)  # "theirs" is the other's
    answers.put("nothing")
    with queue.lease(timeout=60, lease_seconds=LONG) as item:
        answers.put(item)
        assert value.wait_for(lambda number: number == 1, timeout=60)
        answers.put(queue.get(timeout=60))
        began = time.monotonic()
        assert not value.wait_for(lambda number: number == 2, timeout=BRIEFLY)
        with condition:
            assert not condition.wait(timeout=BRIEFLY)
        assert 2 * BRIEFLY <= time.monotonic() - began < 30
        answers.put("waited")
        assert value.wait_for(lambda number: number == 2, timeout=60)


@pytest.mark.parametrize("offset", [-1, 1], ids=["behind", "ahead"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_leases_and_waits_between_two_clocks(method: str, offset: int) -> None:
    # A clock cannot be behind the machine's start.
    seconds = AHEAD_SECONDS if offset > 0 else -int(time.monotonic() / 2)
    queue: conveyor.Queue[str] = conveyor.Queue()
    answers: conveyor.Queue[str] = conveyor.Queue()
    value, condition = conveyor.SharedValue("i"), conveyor.Condition()
    with crew() as members:
        queue.put("theirs")
        theirs = queue.lease(timeout=5, lease_seconds=LONG)
        arguments = (method, seconds, work, time.monotonic(), queue, answers, value, condition)
        members.append(multiprocessing.get_context("fork").Process(target=start, args=arguments))
        members[0].start()
        assert answers.get(timeout=60) == "nothing"
        queue.put("ours")
        assert answers.get(timeout=60) == "ours"
        with pytest.raises(conveyor.Empty):
            queue.get(timeout=BRIEFLY)
        queue.put("over")
        over = queue.lease(timeout=5, lease_seconds=BRIEFLY)
        value.value = 1
        assert answers.get(timeout=60) == "over"
        with pytest.raises(LeaseLost):
            over.acknowledge()
        assert answers.get(timeout=60) == "waited"
        value.value = 2
        theirs.acknowledge()
        finish(members[0])
    with pytest.raises(conveyor.Empty):
        queue.get(timeout=0)
