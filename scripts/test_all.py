"""Run the tests on every version of Python that is supported: `test_all.py [VERSION...] [-- PYTEST ARGUMENT...]`.

What is asked of every version are the folders whose outcome depends on it: units, processes, and CPython's own tests
of that version. Interpreters are those of this machine, and of the Debian root that `make pythons` makes. A version
that is in neither has failed, and the table at the end says so. What a version's run says is in build/test-all.

A free-threaded build is asked for by its name, `3.14t`. It has the GIL on from the start, as it is on once conveyor is
imported (docs/adr/0034-the-gil-stays.md): otherwise CPython says so on the standard error of every process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test-all"
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
FOLDERS = ("tests/unit", "tests/process", "tests/conformance")
OWN_MEMORY = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs -o size=75% none /dev/shm && exec "$@"',
    "tests",
]


@dataclass(frozen=True)
class Interpreter:
    """A Python, and what stands before a command that is to be run where it is.

    Attributes:
        path: of its program.
        where: for the table.
        before: runs the rest of a command line where the interpreter is, with a /dev/shm of its own.
    """

    path: str
    where: str
    before: list[str]


@dataclass(frozen=True)
class Result:
    """What came of one version, for a row of the table; figures are of tests."""

    version: str
    where: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    said: str = ""

    @property
    def is_good(self) -> bool:
        return not self.said


def lines_of(*command: str) -> list[list[str]]:
    done = subprocess.run([ROOT / command[0], *command[1:]], capture_output=True, text=True, check=True)
    return [line.split(maxsplit=1) for line in done.stdout.splitlines()]


def interpreters() -> dict[str, Interpreter]:
    """Each version that there is: in the Debian root, or else on this machine, whose own come first."""
    own = (
        OWN_MEMORY
        if subprocess.run([*OWN_MEMORY, "true"], capture_output=True, check=False).returncode == 0
        else []
    )
    in_root = ["scripts/python_root", "run"]
    found = {
        version: Interpreter(path, "Debian root", in_root)
        for version, path in lines_of("scripts/python_root", "list")
    }
    found.update((version, Interpreter(path, path, own)) for version, path in lines_of("scripts/pythons"))
    return found


def run(version: str, python: Interpreter | None, arguments: list[str]) -> Result:
    if python is None:
        return Result(version, "-", said="not on this machine, nor in a Debian root (make pythons)")
    log, report = LOGS / f"{version}.log", LOGS / f"{version}.xml"
    report.unlink(missing_ok=True)
    venv = f".venv-{version}"
    steps = (
        [
            "make",
            "--no-print-directory",
            "build",
            f"{venv}/.test-had",
            f"VENV={venv}",
            f"PYTHON={python.path}",
        ],
        [
            f"{venv}/bin/python",
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            *FOLDERS,
            *arguments,
        ],
    )
    begun, status = time.monotonic(), 0
    with log.open("w") as stream:
        for step in steps:
            status = subprocess.run(
                [*python.before, *step],
                cwd=ROOT,
                env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "", "PYTHON_GIL": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            if status:
                break
    seconds = time.monotonic() - begun
    counts = counted(report)
    said = "" if status == 0 else f"exit status {status}: {log.relative_to(ROOT)}"
    return Result(version, python.where, *counts, seconds, said)


def counted(report: Path) -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped; nothing where pytest did not come to its end."""
    if not report.exists():
        return 0, 0, 0
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    every = failed = skipped = 0
    for suite in suites:
        every += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return every - failed - skipped, failed, skipped


def main() -> int:
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    versions, arguments = words[:split] or list(VERSIONS), words[split + 1 :]
    found = interpreters()
    LOGS.mkdir(parents=True, exist_ok=True)
    print(
        f"Python {', '.join(versions)}, two at a time; {LOGS.relative_to(ROOT)} has what they say", flush=True
    )
    results: list[Result] = []
    with ThreadPoolExecutor(2) as runners:
        for result in runners.map(lambda version: run(version, found.get(version), arguments), versions):
            results.append(result)
            print(f"== Python {result.version}: {result.said or 'passed'}", flush=True)
            if not result.is_good and (log := LOGS / f"{result.version}.log").exists():
                print(*log.read_text(errors="replace").splitlines()[-60:], sep="\n", flush=True)
    width = max(len(result.where) for result in results)
    print(f"\n{'Python':<8}{'where':<{width + 2}}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for one in results:
        figures = f"{one.passed:>8,}{one.failed:>8,}{one.skipped:>9,}{one.seconds:>9,.0f}"
        print(f"{one.version:<8}{one.where:<{width + 2}}{figures}  {one.said}".rstrip())
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
