"""`conveyor run`: what it prints, how it ends, and what Ctrl-C and SIGTERM do; the same for a script."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from conveyor import Pipeline

PIPELINES = Path(__file__).with_name("pipelines.py")
CTRL_C = b"\x03"
METHODS = ["fork", "spawn", "forkserver"]


def target(name: str) -> str:
    return f"{PIPELINES}:{name}"


class TestReport:
    def test_text(self, run: Any, tmp_path: Path) -> None:
        done = run("run", "-j2", target("numbers"))
        assert (done.code, done.err) == (0, "")
        assert done.lines[0].startswith("numbers: 1,000 items in ")
        assert "1,000 results" in done.lines[0]
        assert sorted(map(int, (tmp_path / "out").read_text().split())) == list(range(0, 2000, 2))

    @pytest.mark.parametrize("method", METHODS)
    def test_json(self, run: Any, method: str) -> None:
        done = run("run", "-j2", "--json", "--start-method", method, target("numbers"))
        assert done.code == 0
        found = json.loads(done.out)
        assert (found["name"], found["taken"], found["results"], found["failures"]) == (
            "numbers",
            1000,
            1000,
            0,
        )
        assert isinstance(found["seconds"], float)
        assert [stage["name"] for stage in found["stages"]][:2] == ["source", "double"]
        assert found["stages"][2]["name"].startswith("to ")

    def test_html(self, run: Any, tmp_path: Path) -> None:
        page = tmp_path / "report.html"
        assert run("run", "--html", str(page), target("numbers")).code == 0
        assert page.read_text().startswith("<!doctype html>")
        done = run("run", "--html", str(tmp_path / "no" / "report.html"), target("numbers"))
        assert done.code == 2
        assert "--html" in done.err

    def test_describe_runs_nothing(self, run: Any, tmp_path: Path) -> None:
        done = run("run", "--describe", target("numbers"))
        assert (done.code, done.lines[0]) == (0, "numbers")
        assert "2 processes" in done.out
        assert not (tmp_path / "out").exists()

    def test_a_function_that_returns_one(self, run: Any) -> None:
        assert run("run", target("made")).code == 0

    def test_resume(self, run: Any, tmp_path: Path) -> None:
        words = ("run", "--json", "--resume", str(tmp_path / "state.db"), target("numbers"))
        assert json.loads(run(*words).out)["taken"] == 1000
        again = json.loads(run(*words).out)
        assert (again["taken"], again["resumed"]) == (0, 1000)

    def test_plain_progress(self, run: Any) -> None:
        done = run("run", "--progress", target("numbers"))
        assert done.code == 0
        assert "numbers: 1,000 items in" in done.err
        assert "\x1b" not in done.err


class TestWhatIsWrong:
    def test_an_item_that_fails(self, run: Any) -> None:
        done = run("run", "--json", target("failing"))
        assert done.code == 1
        assert json.loads(done.out)["failures"] == 1
        assert "in stage 'fail' on item 0" in done.err

    def test_items_that_are_left_out(self, run: Any) -> None:
        done = run("run", "--json", target("skipping"))
        assert (done.code, json.loads(done.out)["failures"]) == (1, 2)

    def test_too_many(self, run: Any) -> None:
        done = run("run", "--max-failures", "1", target("skipping"))
        assert done.code == 1
        assert "TooManyFailures: 2 items failed; max_failures is 1" in done.err


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by", ["command", "script"])
class TestSignals:
    @staticmethod
    def begin(start: Any, by: str, method: str, terminal: str = "stderr") -> Any:
        if by == "script":
            return start(method, script=PIPELINES, terminal=terminal)
        return start("run", "--start-method", method, target("gated"), terminal=terminal)

    def test_ctrl_c_once_finishes_what_is_in_flight(
        self, start: Any, gate: Any, read_until: Any, by: str, method: str
    ) -> None:
        running = self.begin(start, by, method)
        gate.wait_begun(2)
        os.write(running.terminal, CTRL_C)
        said = read_until(running.terminal, lambda data: b"stops now" in data)
        assert b"gated: SIGINT: finishing " in said
        count = int(said.rpartition(b"finishing ")[2].split()[0])
        assert 2 <= count <= 4
        gate.open(count)
        done = running.finish()
        assert done.code == 0
        assert sum(line.startswith("wait") for line in done.lines) == count == len(gate.log)
        assert "SIGINT" in done.out

    def test_ctrl_c_twice_stops_now(
        self, start: Any, gate: Any, read_until: Any, wait_dead: Any, by: str, method: str
    ) -> None:
        running = self.begin(start, by, method)
        workers = gate.wait_begun(2).values()
        os.write(running.terminal, CTRL_C)
        read_until(running.terminal, lambda data: b"stops now" in data)
        os.write(running.terminal, CTRL_C)
        done = running.finish()
        # Python ends itself by the signal, which a shell calls 130.
        assert done.code == 130 if by == "command" else done.code in (130, -signal.SIGINT)
        assert not [line for line in done.lines if line.startswith("wait")]
        for pid in workers:
            wait_dead(pid)

    def test_sigterm_of_the_whole_group_drains(
        self, start: Any, gate: Any, read_until: Any, by: str, method: str
    ) -> None:
        running = self.begin(start, by, method, terminal="")
        gate.wait_begun(2)
        os.killpg(running.pid, signal.SIGTERM)  # as `timeout` does; it ends a fork server, too
        said = read_until(running.err, lambda data: b"stops now" in data)
        count = int(said.rpartition(b"finishing ")[2].split()[0])
        gate.open(count)
        done = running.finish()
        assert done.code == 0
        assert sum(line.startswith("wait") for line in done.lines) == count == len(gate.log)

    def test_sigterm_once_drains_and_twice_stops(
        self, start: Any, gate: Any, read_until: Any, wait_dead: Any, by: str, method: str
    ) -> None:
        running = self.begin(start, by, method, terminal="")
        workers = gate.wait_begun(2).values()
        os.killpg(running.pid, signal.SIGTERM)  # as `timeout` does; the workers must not hear it
        said = read_until(running.err, lambda data: b"stops now" in data)
        assert b"gated: SIGTERM: finishing " in said
        running.process.terminate()
        done = running.finish()
        assert done.code == 143
        for pid in workers:
            wait_dead(pid)


def test_a_signal_does_not_interrupt_the_display_by_speaking(capsys: pytest.CaptureFixture[str]) -> None:
    said_meanwhile: list[str] = []

    def show(progress: object) -> None:
        if not said_meanwhile:
            os.kill(os.getpid(), signal.SIGINT)
            said_meanwhile.append(capsys.readouterr().err)

    report = Pipeline(range(100_000)).map(abs, workers=1).run(progress=show)
    assert report.interrupted == "SIGINT"
    assert said_meanwhile == [""]
    assert "finishing" in capsys.readouterr().err
