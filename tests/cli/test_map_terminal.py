"""What a person sees: the progress line, and that there is none where nobody looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Function = Callable[[str], str]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def test_not_a_terminal_no_control_characters(run: Any, function: Function, numbers: Any) -> None:
    done = run("map", "-j2", function("kill_on_7"), stdin=numbers(2000))
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.out + done.err
    assert "in flight" not in done.err


def test_progress_on_a_terminal(start: Any, function: Function, gate: Any, read_until: Any) -> None:
    running = start("map", "-j2", function("gate"), terminal="stderr")
    running.send("a\nfail\nwait\n")
    gate.wait_begun(1)
    seen = read_until(running.terminal, lambda data: b"1 in flight" in data).decode()
    assert "item 2 'fail': ValueError" in seen
    assert re.search(r"1\S* done", seen)
    assert "/s" in seen
    assert COLOUR.search(seen)
    gate.open()
    done = running.finish()
    assert done.lines == ["a", "wait"]
    last = done.err.split("\x1b[2K")[-1]
    assert last.startswith("conveyor map: 2 done, 1 failed in "), (
        "the progress line makes way for the summary"
    )


def test_no_color_draws_without_colour(start: Any, function: Function, gate: Any, read_until: Any) -> None:
    running = start("map", "-j1", function("gate"), terminal="stderr", env={"NO_COLOR": "1"})
    running.send("wait\n")
    seen = read_until(running.terminal, lambda data: b"1 in flight" in data).decode()
    gate.open()
    assert not COLOUR.search(seen + running.finish().err)


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CONVEYOR_MAP_PROGRESS": "false"}])
def test_no_progress_line(start: Any, function: Function, env: dict[str, str]) -> None:
    running = start("map", function("up"), terminal="stderr", env=env)
    running.send("a\n" * 100)
    assert "\x1b[2K" not in running.finish().err


def test_results_and_progress_share_a_terminal(
    start: Any, function: Function, gate: Any, read_until: Any
) -> None:
    running = start("map", "-j1", function("gate"), terminal="stdout stderr")
    running.send("a\nwait\nb\n")
    gate.wait_begun(1)
    gate.open()
    running.end_input()
    seen = running.finish().err
    # On the screen: every result on a line of its own, whatever was drawn and erased in between.
    shown = [line.split("\x1b[2K")[-1] for line in re.split(r"\r?\n", seen)]
    assert shown[:3] == ["a", "wait", "b"]
    assert shown[3].startswith("conveyor map: 3 done")


def test_says_that_it_reads_from_the_terminal(start: Any, function: Function, read_until: Any) -> None:
    running = start("map", "-j1", function("up"), terminal="stdin stderr")
    read_until(running.terminal, lambda data: b"Ctrl-D ends them" in data)
    import os

    os.write(running.terminal, b"word\n\x04")
    assert running.finish().out == "WORD\n"


def test_a_file_shows_how_far_it_is(
    start: Any, function: Function, tmp_path: Any, environment: dict[str, str]
) -> None:
    import subprocess
    import sys

    (tmp_path / "items").write_text("a\n" * 50_000)
    with (tmp_path / "items").open() as items:
        done = subprocess.run(
            [sys.executable, "-m", "conveyor", "map", "--progress", function("up")],
            stdin=items,
            capture_output=True,
            text=True,
            env=environment,
            timeout=30,
            check=False,
        )
    assert done.stdout == "A\n" * 50_000
    assert re.search(r"\d%", done.stderr)
