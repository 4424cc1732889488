"""Starts the runs, two at a time, each in a process of its own, and reads what they report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from baseline import UNTRIED
from suites import OWN_EXECUTOR, Run

HERE = Path(__file__).parent
TIMEOUT = 150.0  # seconds for one run; the longest takes about 30
TARGET = os.environ.get("CONVEYOR_CONFORMANCE_TARGET", "conveyor")  # or "stdlib", for the baseline


@dataclass
class Outcome:
    """What a run reported."""

    tests: dict[str, tuple[str, str]] = field(default_factory=dict)  # "Class.test" -> (outcome, detail)
    missing: list[str] = field(default_factory=list)
    unfinished: str | None = None  # the test that was running when the process ended or was ended
    environment_altered: bool = False
    events: Counter[tuple[str, str, bool]] = field(
        default_factory=Counter
    )  # event, what, in the main process
    output: str = ""
    ending: str = ""

    def of_class(self, name: str) -> dict[str, tuple[str, str]]:
        """Results of the tests of a class, or of one test."""
        return {
            test: result
            for test, result in self.tests.items()
            if test == name or test.startswith(f"{name}.") or test.endswith(f".{name})")
        }


def execute(run: Run) -> Outcome:
    """Run it and wait for its end; it is killed, with all that it started, when it takes too long."""
    with tempfile.TemporaryDirectory(prefix="conveyor-conformance-") as folder:
        results, log, output = (Path(folder) / name for name in ("results", "log", "output"))
        for file in (results, log):
            file.touch()
        environment = dict(os.environ, TMPDIR=folder)
        if TARGET == "conveyor":
            search = [str(HERE / "injection"), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, search))
            environment["CONVEYOR_CONFORMANCE_LOG"] = str(log)
            environment["CONVEYOR_CONFORMANCE_LOCKS"] = str(
                int(bool({"Lock", "RLock"} & set(run.portion.builds)))
            )
            environment["CONVEYOR_CONFORMANCE_EXECUTOR"] = str(int(OWN_EXECUTOR in run.portion.builds))
        classes = {name.partition(".")[0] for name in run.classes}
        untried = [one.test for one in UNTRIED if one.test.partition(".")[0] in classes]
        command = [sys.executable, str(HERE / "cpython_runner.py"), str(results), run.method, run.module]
        with output.open("w") as stream:
            process = subprocess.Popen(
                [*command, *run.classes, *(f"-{test}" for test in untried)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
            try:
                ending = f"exit code {process.wait(TIMEOUT)}"
            except subprocess.TimeoutExpired:
                ending = f"still running after {TIMEOUT:.0f} s"
        with suppress(ProcessLookupError):  # also what it has left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        outcome = _read(results.read_text(), log.read_text(), process.pid)
        outcome.output, outcome.ending = output.read_text(errors="replace")[-4000:], ending
        return outcome


def _read(results: str, log: str, main: int) -> Outcome:
    outcome = Outcome(unfinished="(the start)")
    for line in results.splitlines():
        record = json.loads(line)
        if "began" in record:
            outcome.unfinished = record["began"]
        elif "test" in record:
            outcome.unfinished = "(between tests)"
            if outcome.tests.get(record["test"], ("",))[0] != "failed":  # a failed subtest stays
                outcome.tests[record["test"]] = (record["outcome"], record["detail"])
        elif "missing" in record:
            outcome.missing.append(record["missing"])
        else:
            outcome.unfinished = None
            outcome.environment_altered = record["environment_altered"]
    for line in log.splitlines():
        event, what, pid = line.split()
        outcome.events[event, what, int(pid) == main] += 1
    return outcome


class Runner:
    """Executes runs in the background, in the order given, two at a time."""

    def __init__(self, runs: list[Run]) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2)
        self._futures: dict[Run, Future[Outcome]] = {run: self._threads.submit(execute, run) for run in runs}

    def outcome(self, run: Run) -> Outcome:
        """What the run reported; waits for its end."""
        return self._futures[run].result()

    def close(self) -> None:
        """Start no more."""
        self._threads.shutdown(cancel_futures=True)
