"""Ctrl-C, SIGTERM, a reader that leaves, a parent that is killed; and input without end."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Function = Callable[[str], str]
CTRL_C = b"\x03"
MIB = 1024 * 1024


class TestCtrlC:
    def test_once_finishes_what_is_in_flight(
        self, start: Any, function: Function, gate: Any, read_until: Any
    ) -> None:
        running = start("map", "-j2", function("gate"), terminal="stderr")
        running.send("wait1\nwait2\n")
        gate.wait_begun(2)
        running.send("later\n" * 50)
        os.write(running.terminal, CTRL_C)
        said = read_until(running.terminal, lambda data: b"stops now" in data)
        assert b"SIGINT: finishing 2 items in flight; Ctrl-C again stops now" in said
        gate.open(2)
        done = running.finish()
        assert (done.code, done.out) == (0, "wait1\nwait2\n")
        assert "2 done" in done.err
        assert "the input was used up to line 2" in done.err
        assert sorted(gate.log) == ["wait1", "wait2"]

    def test_twice_stops_now(
        self, start: Any, function: Function, gate: Any, read_until: Any, wait_dead: Any
    ) -> None:
        running = start("map", "-j2", function("gate"), terminal="stderr")
        running.send("wait1\nwait2\n")
        workers = gate.wait_begun(2).values()
        os.write(running.terminal, CTRL_C)
        read_until(running.terminal, lambda data: b"stops now" in data)
        os.write(running.terminal, CTRL_C)
        done = running.finish()
        assert (done.code, done.out) == (130, "")
        assert "2 cut off" in done.err
        assert "Traceback" not in done.err
        for pid in workers:
            wait_dead(pid)

    def test_when_there_is_nothing_to_do(self, start: Any, function: Function, read_until: Any) -> None:
        running = start("map", "-j2", function("up"), terminal="stderr")
        running.send("a\n")
        read_until(running.out, lambda data: data == b"A\n")
        os.write(running.terminal, CTRL_C)
        assert running.finish().code == 0

    def test_twice_while_the_reader_does_not_read(
        self, start: Any, function: Function, read_until: Any
    ) -> None:
        running = start("map", "-j2", function("up"), terminal="stderr")
        running.send("a\n")
        read_until(running.out, lambda data: data == b"A\n")  # it has begun
        feed_until_stuck(running.process.stdin.fileno())
        os.write(running.terminal, CTRL_C)
        read_until(running.terminal, lambda data: b"stops now" in data)
        os.write(running.terminal, CTRL_C)
        assert running.process.wait(30) == 130


class TestSigterm:
    def test_of_the_whole_group_drains(
        self, start: Any, function: Function, gate: Any, read_until: Any
    ) -> None:
        running = start("map", "-j2", function("gate"))
        running.send("wait1\nwait2\n")
        gate.wait_begun(2)
        os.killpg(running.pid, signal.SIGTERM)  # as `timeout` does; the workers must not hear it
        said = read_until(running.err, lambda data: b"stops now" in data)
        assert b"finishing 2 items in flight; a second SIGTERM stops now" in said
        gate.open(2)
        done = running.finish()
        assert (done.code, done.out) == (0, "wait1\nwait2\n")

    def test_twice_stops_now(
        self, start: Any, function: Function, gate: Any, read_until: Any, wait_dead: Any
    ) -> None:
        running = start("map", "-j1", function("gate"))
        running.send("wait\n")
        [pid] = gate.wait_begun(1).values()
        running.process.terminate()
        read_until(running.err, lambda data: b"stops now" in data)
        running.process.terminate()
        assert running.finish().code == 143
        wait_dead(pid)

    def test_failures_still_count(self, start: Any, function: Function, gate: Any, read_until: Any) -> None:
        running = start("map", "-j1", function("gate"))
        running.send("fail\nwait\n")
        gate.wait_begun(1)
        running.process.terminate()
        read_until(running.err, lambda data: b"stops now" in data)
        gate.open()
        assert running.finish().code == 1


class TestAReaderThatLeaves:
    def test_as_head_does(self, start: Any, function: Function, numbers: Any, read_until: Any) -> None:
        running = start("map", "-j2", function("up"))
        feeder = threading.Thread(target=feed_for_ever, args=(running.process.stdin.fileno(),))
        feeder.start()
        read_until(running.out, lambda data: data.count(b"\n") >= 10)
        running.close_out()
        assert running.process.wait(30) == 0
        feeder.join(30)
        assert running.process.stderr.read() == b""

    def test_before_there_is_a_result(
        self, start: Any, function: Function, gate: Any, wait_dead: Any
    ) -> None:
        running = start("map", "-j1", function("gate"))
        running.send("wait\n")
        [pid] = gate.wait_begun(1).values()
        running.close_out()
        assert running.process.wait(30) == 0
        wait_dead(pid)

    def test_a_disk_that_is_full(self, run: Any, function: Function, environment: dict[str, str]) -> None:
        import subprocess
        import sys

        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "conveyor", "map", function("up")],
                input=b"a\n",
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=30,
                check=False,
            )
        assert done.returncode == 1
        assert b"cannot write the results: No space left on device" in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_never_outlive_a_parent_that_is_killed(
    start: Any, function: Function, gate: Any, wait_dead: Any, method: str
) -> None:
    running = start("map", "-j2", "--start-method", method, function("gate"))
    running.send("wait1\nwait2\n")
    workers = gate.wait_begun(2).values()
    running.process.kill()
    for pid in workers:
        wait_dead(pid)


class TestEndlessInput:
    def test_memory_stays_constant(self, start: Any, function: Function) -> None:
        running = start("map", "-j2", function("up"))
        feeder = threading.Thread(target=feed_for_ever, args=(running.process.stdin.fileno(),))
        feeder.start()
        peaks = []
        for _ in range(2):
            read = 0
            while read < 8 * MIB:
                read += len(os.read(running.out, MIB))
            peaks.append(peak_memory(running.pid))
        running.process.terminate()
        while os.read(running.out, MIB):
            pass
        assert running.process.wait(30) == 0
        feeder.join(30)
        assert peaks[0] < 150 * MIB
        assert peaks[1] < peaks[0] + 24 * MIB

    def test_a_reader_that_does_not_read_stops_the_input(
        self, start: Any, function: Function, read_until: Any
    ) -> None:
        running = start("map", "-j2", function("up"))
        running.send("a\n")
        read_until(running.out, lambda data: data == b"A\n")  # it has begun
        taken = feed_until_stuck(running.process.stdin.fileno())
        assert taken < 30 * MIB
        assert peak_memory(running.pid) < 150 * MIB

    def test_a_slow_item_stops_the_input_at_the_window(
        self, start: Any, function: Function, gate: Any
    ) -> None:
        running = start("map", "-j2", "--window", "500", function("gate"))
        running.send("wait\n")
        gate.wait_begun(1)
        feed_until_stuck(running.process.stdin.fileno())
        assert 1 < len(gate.log) <= 500
        gate.open()
        running.process.terminate()
        done = running.finish()
        assert done.code == 0
        assert len(done.lines) == len(gate.log)


def feed_for_ever(fd: int) -> None:
    block = b"".join(b"line number %d\n" % number for number in range(4000))
    try:
        while True:
            os.write(fd, block)
    except (BrokenPipeError, OSError):
        return


def feed_until_stuck(fd: int) -> int:
    """Write until it takes nothing for a second; returns how many bytes it took."""
    block = b"".join(b"line number %d\n" % number for number in range(4000))
    os.set_blocking(fd, False)
    taken = 0
    while select.select([], [fd], [], 1.0)[1]:
        taken += os.write(fd, block)
    return taken


def peak_memory(pid: int) -> int:
    """The most memory that the process ever held, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
