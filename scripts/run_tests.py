"""Run the Python tests, several folders of them side by side: `run_tests.py [PYTEST ARGUMENT...]`.

Most tests wait most of the time, for processes that start and end. So one folder more runs at once than there are
processors, four at most, the longest first. Each has a /dev/shm of its own, because the tests look whether they leave
something there; where that cannot be had (it takes root and unshare), and when something is asked of pytest by an
argument, there is one run after another. What a folder's run says is shown when it has ended, and can be watched in
build/tests until then.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
LOGS = ROOT / "build" / "tests"
# The longest first; what is not named here comes after them.
LONGEST = ("transports", "process", "pipeline", "unit", "packaging", "cli", "conformance")
MOST_AT_ONCE = 4
NOTHING_COLLECTED = 5  # pytest's exit status
ALONE = "mount -t tmpfs -o size=75% none /dev/shm && exec " + '"$@"'


def folders() -> list[Path]:
    """What pytest is to be given, one run each."""
    found = [path for path in TESTS.iterdir() if path.is_dir() and any(path.glob("test_*.py"))]
    order = {name: place for place, name in enumerate(LONGEST)}
    return sorted(found, key=lambda path: (order.get(path.name, len(order)), path.name))


def with_own_memory(command: list[str]) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", ALONE, "tests", *command]


def can_have_own_memory() -> bool:
    try:
        return subprocess.run(with_own_memory(["true"]), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(folder: Path) -> tuple[str, float, int]:
    command = [sys.executable, "-u", "-m", "pytest", "-p", "no:cacheprovider", str(folder)]
    begun = time.monotonic()
    with log_of(folder.name).open("w") as log:
        done = subprocess.run(
            with_own_memory(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return folder.name, time.monotonic() - begun, done.returncode


def log_of(name: str) -> Path:
    return LOGS / f"{name}.log"


def main() -> int:
    at_once = min(len(os.sched_getaffinity(0)) + 1, MOST_AT_ONCE)
    if sys.argv[1:] or not can_have_own_memory():
        return subprocess.call([sys.executable, "-m", "pytest", *sys.argv[1:]])
    todo = folders()
    print(f"{at_once} folders of tests at once, of {shlex.join(path.name for path in todo)}", flush=True)
    failed: list[str] = []
    LOGS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(at_once) as runners:
        for running in as_completed([runners.submit(run, folder) for folder in todo]):
            name, seconds, status = running.result()
            said = log_of(name).read_text(errors="replace")
            print(f"== tests/{name}, {seconds:.0f} s\n{said}", flush=True)
            if status not in (0, NOTHING_COLLECTED):
                failed.append(name)
    print(f"failed: {shlex.join(failed)}" if failed else "all folders of tests passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
