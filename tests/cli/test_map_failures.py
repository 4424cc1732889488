"""Functions that raise, and workers that die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

Function = Callable[[str], str]


class TestRaising:
    def test_names_the_item_and_the_error_and_goes_on(self, run: Any, function: Function) -> None:
        done = run("map", "-j2", function("number"), stdin="1\ntwo\n3\n")
        assert (done.code, done.out) == (1, "1\n3\n")
        assert "item 2 'two': ValueError: invalid literal for int()" in done.err
        assert "(map_functions.py:" in done.err
        assert " in number)" in done.err
        assert "2 done, 1 failed" in done.err
        assert "Traceback" not in done.err

    def test_traceback(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", "--traceback", function("number"), stdin="two\n")
        assert "Traceback (most recent call last)" in done.err
        assert "return int(item)" in done.err

    def test_sys_exit_is_a_failure_of_the_item(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", function("leave"), stdin="a\nb\n")
        assert done.code == 1
        assert "item 1 'a': SystemExit: not today" in done.err
        assert "item 2 'b'" in done.err

    def test_an_exception_without_a_text(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", function("silent"), stdin="a\n")
        assert done.code == 1
        assert "Silent: (its text cannot be had" in done.err

    def test_a_long_item_is_shortened(self, run: Any, function: Function) -> None:
        done = run("map", "-j1", function("number"), stdin="x" * 100_000 + "\n")
        assert "(100,000 bytes)" in done.err
        assert len(done.err.split(": ValueError")[0]) < 200


class TestHalt:
    def test_never(self, run: Any, function: Function, numbers: Any) -> None:
        done = run("map", function("number"), stdin="x\n" + numbers(1000))
        assert (done.code, done.out) == (1, numbers(1000))

    def test_soon_finishes_what_has_begun(
        self, start: Any, function: Function, gate: Any, read_until: Any
    ) -> None:
        running = start("map", "-j2", "--halt", "soon", function("gate"))
        running.send("wait\n")
        gate.wait_begun(1)
        running.send("fail\n" + "later\n" * 1000)
        read_until(running.err, lambda data: b"asked to fail" in data)
        gate.open()
        done = running.finish()
        assert done.code == 1
        assert done.lines[0] == "wait"
        assert len(gate.log) < 1002
        assert gate.log.count("later") == done.lines.count("later")
        assert "read but not begun" in done.err

    def test_now_does_not_wait(self, start: Any, function: Function, gate: Any, wait_dead: Any) -> None:
        running = start("map", "-j2", "--halt", "now", function("gate"))
        running.send("wait\n")
        [pid] = gate.wait_begun(1).values()
        running.send("fail\n")
        done = running.finish()
        assert done.code == 1
        assert "1 cut off" in done.err
        wait_dead(pid)


class TestDeaths:
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_a_killed_worker_costs_one_item(
        self, run: Any, function: Function, numbers: Any, gate: Any, method: str
    ) -> None:
        done = run("map", "-j2", "--start-method", method, function("kill_on_7"), stdin=numbers(60))
        survivors = [line for line in numbers(60).split() if not line.endswith("7")]
        assert (done.code, done.lines) == (1, survivors)
        for number in (7, 17, 27, 37, 47, 57):
            assert f"item {number} '{number}', which counts as failed" in done.err
        assert done.err.count("was killed by SIGKILL") == 6
        assert "54 done, 6 lost with their worker" in done.err
        assert sorted(gate.log, key=int) == numbers(60).split(), "each item begins exactly once"

    def test_a_crash_in_native_code_says_where(self, run: Any, function: Function, numbers: Any) -> None:
        done = run("map", "-j2", function("segfault_on_7"), stdin=numbers(20))
        assert done.code == 1
        assert "was killed by SIGSEGV (a crash in native code) on item 7 '7'" in done.err
        assert "in string_at, called from map_functions.py:" in done.err
        assert len(done.lines) == 19

    def test_an_exit_is_a_death(self, run: Any, function: Function, numbers: Any) -> None:
        done = run("map", "-j2", function("exit_on_7"), stdin=numbers(20))
        assert done.code == 1
        assert "exited with status 3 on item 7 '7'" in done.err
        assert len(done.lines) == 19

    def test_a_crash_loop_ends_with_a_verdict(self, run: Any, function: Function, numbers: Any) -> None:
        done = run("map", "-j2", function("always_exit"), stdin=numbers(1000))
        assert (done.code, done.out) == (6, "")
        assert "giving up: 10 workers died one after another and none finished an item" in done.err
        assert "the last exited with status 9" in done.err

    def test_max_crashes(self, run: Any, function: Function, numbers: Any) -> None:
        done = run("map", "-j2", "--max-crashes", "3", function("always_exit"), stdin=numbers(1000))
        assert done.code == 6
        assert done.err.count("exited with status 9 on item") == 3

    def test_an_idle_worker_that_is_killed_costs_nothing(
        self, start: Any, function: Function, read_until: Any
    ) -> None:
        running = start("map", "-j1", function("process"))
        running.send("a\n")
        first = int(read_until(running.out, lambda data: data.endswith(b"\n")))
        os.kill(first, signal.SIGTERM)
        assert b"was killed by SIGTERM with no item" in read_until(
            running.err, lambda data: data.endswith(b"\n")
        )
        running.send("b\n")
        done = running.finish()
        assert done.code == 0, done.err
        assert int(done.out) != first
