"""Run the Python tests, several parts of them side by side: `run_tests.py [PYTEST ARGUMENT...]`.

A part is a folder, or some of the files of a large one. Those of the transports wait most of the time, for servers and
for processes that start and end, so more parts run at once than there are processors, the longest first. Each has a
/dev/shm of its own (tests/conftest.py), because the tests look whether they leave something there. Where that cannot be
had, and when something is asked of pytest by an argument, there is one run after another. What a part says is shown
when it has ended, and can be watched in build/tests until then.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
LOGS = ROOT / "build" / "tests"
# The longest first; what is not named here comes after them.
LONGEST = ("transports", "process", "pipeline", "unit", "packaging", "cli", "conformance")
# Large folders, and in how many parts.
PARTS = {"transports": 3, "process": 2, "pipeline": 2, "unit": 2}
MORE_THAN_PROCESSORS = 1  # the parts of "transports" mostly wait; with more, tests wait for each other
MOST_AT_ONCE = 6
NOTHING_COLLECTED = 5  # pytest's exit status


class Part(NamedTuple):
    """What one run of pytest is given."""

    name: str
    paths: list[str]


def parts() -> list[Part]:
    """All of the tests, in the order in which they are begun."""
    found = [path for path in TESTS.iterdir() if path.is_dir() and any(path.glob("test_*.py"))]
    order = {name: place for place, name in enumerate(LONGEST)}
    made: list[Part] = []
    for folder in sorted(found, key=lambda path: (order.get(path.name, len(order)), path.name)):
        number = PARTS.get(folder.name, 1)
        files = sorted(str(path) for path in folder.rglob("test_*.py"))
        if number == 1:
            made.append(Part(folder.name, [str(folder)]))
        else:
            made += [Part(f"{folder.name}-{first + 1}", files[first::number]) for first in range(number)]
    return made


def environment() -> dict[str, str]:
    """Ours, with a place for bytecode: thousands of processes import the same modules."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "pycache")
    return environment


def can_have_own_memory() -> bool:
    try:
        return (
            subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


def run(part: Part) -> tuple[str, float, int]:
    command = [sys.executable, "-u", "-m", "pytest", "-p", "no:cacheprovider", *part.paths]
    begun = time.monotonic()
    with log_of(part.name).open("w") as log:
        done = subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return part.name, time.monotonic() - begun, done.returncode


def log_of(name: str) -> Path:
    return LOGS / f"{name}.log"


def main() -> int:
    at_once = min(len(os.sched_getaffinity(0)) + MORE_THAN_PROCESSORS, MOST_AT_ONCE)
    if sys.argv[1:] or not can_have_own_memory():
        return subprocess.call([sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment())
    todo = parts()
    print(f"{at_once} parts of the tests at once, of {shlex.join(part.name for part in todo)}", flush=True)
    failed: list[str] = []
    LOGS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(at_once) as runners:
        for running in as_completed([runners.submit(run, part) for part in todo]):
            name, seconds, status = running.result()
            said = log_of(name).read_text(errors="replace")
            print(f"== tests/{name}, {seconds:.0f} s\n{said}", flush=True)
            if status not in (0, NOTHING_COLLECTED):
                failed.append(name)
    print(f"failed: {shlex.join(failed)}" if failed else "all parts of the tests passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
