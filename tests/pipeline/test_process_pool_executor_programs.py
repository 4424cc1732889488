"""ProcessPoolExecutor in programs of their own: Ctrl-C while they wait; functions that go by value."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from called import begun

from conveyor import ProcessPoolExecutor

METHODS = ["fork", "spawn", "forkserver"]
HERE = Path(__file__).parent

PROGRAM = """
import asyncio, os, sys
from concurrent.futures import as_completed, wait
sys.path.insert(0, {here!r})
import called
from conveyor import ProcessPoolExecutor

async def gathered(executor, marks):
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(executor, called.mark_and_wait, mark) for mark in marks))

if __name__ == "__main__":
    marks = sys.argv[1:3]
    executor = ProcessPoolExecutor(2, {method!r})
    {wait}
"""
WAITS = {
    "result": "[executor.submit(called.mark_and_wait, mark) for mark in marks][0].result()",
    "with": (
        "\n    with executor:\n        wait([executor.submit(called.mark_and_wait, mark) for mark in marks])"
    ),
    "end of the block": "\n    with executor:\n        executor.map(called.mark_and_wait, marks)",
    "as_completed": "next(as_completed([executor.submit(called.mark_and_wait, mark) for mark in marks]))",
    "map": "list(executor.map(called.mark_and_wait, marks))",
    "asyncio": "asyncio.run(gathered(executor, marks))",
    "end of the program": "[executor.submit(called.mark_and_wait, mark) for mark in marks]",
}


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class TestControlC:
    """A SIGINT for the whole group, as a terminal sends it, while two calls of ten minutes are running."""

    @pytest.mark.parametrize(
        ("method", "how"),
        [*(("fork", how) for how in WAITS), ("spawn", "result"), ("forkserver", "result"), ("spawn", "map")],
    )
    def test_the_program_ends_with_its_workers(self, method: str, how: str, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM.format(here=str(HERE), method=method, wait=WAITS[how]))
        marks = [tmp_path / "one", tmp_path / "two"]
        with subprocess.Popen(
            [sys.executable, str(program), *map(str, marks)], stderr=subprocess.PIPE, start_new_session=True
        ) as started:
            try:
                workers = [begun(mark) for mark in marks]
                os.killpg(started.pid, signal.SIGINT)
                errors = started.communicate(timeout=60)[1].decode()
                assert "KeyboardInterrupt" in errors
                if how != "end of the program":  # its main module had come to its end already
                    assert started.returncode in (-signal.SIGINT, 130), errors
                until = time.monotonic() + 30
                while any(map(is_there, workers)):
                    assert time.monotonic() < until, "workers are left"
                    time.sleep(0.01)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)


class TestByValue:
    """What no other process finds by its name."""

    @pytest.fixture(params=METHODS)
    def executor(self, request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
        pytest.importorskip("cloudpickle", reason="functions go by value through cloudpickle")
        with ProcessPoolExecutor(2, request.param) as made:
            yield made

    def test_lambdas_and_closures(self, executor: ProcessPoolExecutor) -> None:
        offset = 1

        def more(number: int, by: int = 0) -> int:
            return number + offset + by

        assert executor.submit(lambda: offset).result(60) == 1
        assert executor.submit(more, 1, by=2).result(60) == 4
        assert executor.submit(functools.partial(more, by=5), 1).result(60) == 7
        assert list(executor.map(lambda number: number * 2, range(1000))) == list(range(0, 2000, 2))
        offset = 100
        assert executor.submit(more, 1).result(60) == 101  # as it is now

    def test_large_ones(self, executor: ProcessPoolExecutor) -> None:
        data = bytes(300_000)
        assert list(executor.map(lambda number: len(data) + number, range(20))) == list(
            range(300_000, 300_020)
        )

    def test_what_cannot_be_pickled_at_all_fails_its_call(self, executor: ProcessPoolExecutor) -> None:
        lock = sys._getframe()
        assert isinstance(executor.submit(lambda: lock).exception(60), TypeError)
        assert executor.submit(abs, -1).result(60) == 1

    def test_functions_of_a_program_that_cannot_be_imported(self) -> None:
        program = (
            "from conveyor import ProcessPoolExecutor\n"
            "def double(number): return 2 * number\n"
            "with ProcessPoolExecutor(2, 'spawn') as executor: print(list(executor.map(double, range(3))))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        assert done.stdout == "[0, 2, 4]\n", done.stderr

    def test_without_cloudpickle_it_says_what_to_install(self) -> None:
        program = (
            "import sys; sys.modules['cloudpickle'] = None\n"
            "from conveyor import ProcessPoolExecutor\n"
            "with ProcessPoolExecutor(1) as executor: error: Exception = executor.submit(lambda: 1).exception(60)\n"
            "print(type(error).__name__, error, *error.__notes__)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        assert "lambda" in done.stdout, done.stderr
        assert "conveyor[cloudpickle]" in done.stdout


def log_to(path: str) -> None:
    import logging

    logging.getLogger("concurrent.futures").addHandler(logging.FileHandler(path))
    raise ValueError("not today")


@pytest.mark.parametrize("method", METHODS)
def test_an_initializer_that_raises_is_logged(method: str, tmp_path: Path) -> None:
    executor: Any = ProcessPoolExecutor(1, method, log_to, (str(tmp_path / "log"),))
    assert "not today" in str(executor.submit(abs, -1).exception(60))
    executor.shutdown()
    text = (tmp_path / "log").read_text()
    assert "Exception in initializer:" in text
    assert "ValueError: not today" in text
