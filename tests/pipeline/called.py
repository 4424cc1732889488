"""What tests of executors have called in worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

told: list[Any] = []


def same(value: Any) -> Any:
    return value


def add(*numbers: int, more: int = 0) -> int:
    return sum(numbers) + more


def fail(text: str) -> None:
    raise ValueError(text)


def process_id(_: Any = None) -> int:
    return os.getpid()


def die(_: Any = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: str) -> str:
    """Kills its worker, unless the mark is there."""
    path = Path(mark)
    if not path.exists():
        path.touch()
        die()
    return "second"


def fail_once(mark: str) -> str:
    path = Path(mark)
    if not path.exists():
        path.touch()
        raise ValueError("the first time")
    return "second"


def mark_and_wait(mark: str) -> None:
    """Says by a file with its process id that it runs, and does not end."""
    Path(f"{mark}.part").write_text(str(os.getpid()))
    Path(f"{mark}.part").rename(mark)
    time.sleep(600)


def begun(mark: Path, seconds: float = 60) -> int:
    """Wait until the mark of `mark_and_wait` is there; returns the process id in it."""
    until = time.monotonic() + seconds
    while not mark.exists():
        assert time.monotonic() < until, f"{mark} has not been made"
        time.sleep(0.005)
    return int(mark.read_text())


def gone(pid: int, seconds: float = 60) -> bool:
    """Wait until a process has ended."""
    until = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def set_up(value: Any) -> None:
    told.append(value)


def was_told() -> list[Any]:
    return told


class Unpicklable:
    """Comes through pickle to the worker, and not back."""

    def __reduce__(self) -> Any:
        raise TypeError("this one stays here")


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return fail, ("cannot be read",)


def make_unreadable(_: Any = None) -> Unreadable:
    return Unreadable()
