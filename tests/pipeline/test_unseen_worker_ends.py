"""The end of a worker is seen, whoever else is told of it: SIGCHLD ignored, or somebody waits for any child."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from conveyor import Pipeline, WorkerLost
from conveyor.pipeline import describe_exit
from conveyor.pipeline.start.worker_process import ChildProcess

PROGRAM = Path(__file__).with_name("unseen_ends.py")
KNOWN = ["was killed by SIGKILL (by hand, or out of memory: see dmesg)", "exited with status 3"]
UNKNOWN = "ended, exit code unknown (the program ignores SIGCHLD, or waits for any child)"


@pytest.mark.parametrize("how", ["ignored", "handler", "thread"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_whoever_is_told(how: str, method: str) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, how, method], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    said = done.stdout.splitlines()
    assert len(said) == 4
    for text, known in zip(said, [*KNOWN, *KNOWN], strict=True):
        assert text in (known, UNKNOWN)
    if method == "forkserver":
        assert said == [*KNOWN, *KNOWN]  # it is no child of the program's
    if method == "fork":
        assert said[2:] == KNOWN  # with a generator for a source, it is none either


def test_the_text() -> None:
    assert describe_exit(None) == UNKNOWN


def test_without_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in sandboxes that know none; a child of the worker's keeps multiprocessing's sentinel open."""

    def no_pidfd(*_: Any) -> int:
        raise OSError("not here")

    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    pipeline = Pipeline(range(30)).map(leaves_a_child, workers=2, on_error="skip")
    assert set(pipeline.stream(start_method="fork")) == set(range(30)) - {7}


def leaves_a_child(item: int) -> int:
    if item == 7:
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
    return item


def test_a_process_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    monkeypatch.setattr("conveyor.pipeline.start.worker_process._LEAVE_SECONDS", 0.1)
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    worker = ChildProcess(process)
    assert not worker.ended()
    worker.close()
    assert worker.exitcode == -signal.SIGKILL


class TestPrograms:
    """What a worker that crashed had started does not go on."""

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    @pytest.mark.parametrize("how", ["killed", "exits", "exits with 0", "in its teardown"])
    def test_they_end_with_it(self, method: Any, how: str, tmp_path: Path) -> None:
        file = tmp_path / "pid"
        stage = Starts(str(file), how)
        # A template is used if the source is read in a thread.
        for source in (range(3), iter(range(3))):
            file.unlink(missing_ok=True)
            pipeline = Pipeline(source).map(stage, workers=1, on_error="skip")
            results: list[int] = []
            # A death in the teardown is an error of the run, which has all its results.
            torn = how == "in its teardown"
            with pytest.raises(WorkerLost, match="teardown") if torn else contextlib.nullcontext():
                results.extend(pipeline.stream(start_method=method))
            assert results == ([0, 1, 2] if torn else [0, 2])
            wait_until(lambda: has_ended(int(file.read_text())))

    def test_those_of_one_that_leaves_may_stay(self, tmp_path: Path) -> None:
        file = tmp_path / "pid"
        assert list(Pipeline(range(3)).map(Starts(str(file), "leaves"), workers=1).stream()) == [0, 1, 2]
        pid = int(file.read_text())
        assert not has_ended(pid)
        os.kill(pid, signal.SIGKILL)


def has_ended(pid: int) -> bool:
    """Whether it is gone, or a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


class Starts:
    """Starts a program on item 1, and then ends in some way."""

    def __init__(self, file: str, how: str) -> None:
        self.file = Path(file)
        self.how = how

    def __call__(self, item: int) -> int:
        if item == 1:
            self.file.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.how.startswith("exits"):
                os._exit(0 if self.how == "exits with 0" else 3)
        return item

    def teardown(self) -> None:
        if self.how == "in its teardown":
            os.kill(os.getpid(), signal.SIGKILL)
