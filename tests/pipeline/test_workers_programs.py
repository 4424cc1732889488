"""`Workers` in whole programs: notebooks, Ctrl-C, the program's end, and daemonic processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stages import double, pid_of
from waiting import is_gone, wait_until

from conveyor import Workers

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
each_method = pytest.mark.parametrize("method", METHODS)

NOTEBOOK = """
from conveyor import Workers

def cell(text):
    exec(text, globals())

if __name__ == "__main__":
    with Workers(2, start_method="fork") as workers:
        cell("RATE = 2")
        cell("def rate(): return RATE")
        cell("def price(item): return item * rate()")
        cell("class Tax:\\n    def __call__(self, item): return price(item) + 1")
        print(workers.map(price, [1, 2]), workers.map(Tax, [1]))
        cell("RATE = 3")
        print(workers.map(price, [1, 2]), workers.map(Tax, [1]))
        cell("def rate(): return 10 * RATE")
        print(workers.map(price, [1, 2]), workers.map(Tax, [1]))
        cell("def price(item): return -item")
        print(workers.map(price, [1, 2]), workers.map(Tax, [1]))
        cell("def later(item): return item, price(item)")
        print(workers.map(later, [1]), len(workers.pids()))
        before = workers.pids()
        print(workers.map(later, iter([1])), workers.pids() == before)
        cell("def later(item): return 'from a template'")
        print(workers.map(later, iter([1])), workers.map(price, [1]))
"""

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from conveyor import Workers

class Model:
    def setup(self):
        Path(sys.argv[2], f"setup-{{os.getpid()}}").touch()
    def __call__(self, item):
        if item == 9:
            Path(sys.argv[2], "begun").touch()
            time.sleep(600)
        return item
    def teardown(self):
        Path(sys.argv[2], f"teardown-{{os.getpid()}}").touch()

if __name__ == "__main__":
    workers = Workers(2, start_method=sys.argv[1])
    assert workers.map(Model, range(3)) == [0, 1, 2]
{}
"""


def program(tmp_path: Path, text: str, method: str = "fork", *, group: bool = False) -> subprocess.Popen[str]:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format("".join(f"    {line}\n" for line in text.strip().splitlines())))
    command = [sys.executable, str(path), method, str(tmp_path)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=group
    )


def pids_in(tmp_path: Path, what: str) -> set[int]:
    return {int(path.name.partition("-")[2]) for path in tmp_path.glob(f"{what}-*")}


def test_a_notebook_defines_things_anew(tmp_path: Path) -> None:
    path = tmp_path / "notebook.py"
    path.write_text(NOTEBOOK)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.splitlines() == [
        "[2, 4] [3]",
        "[3, 6] [4]",
        "[30, 60] [31]",
        "[-1, -2] [0]",
        "[(1, -1)] 2",
        "[(1, -1)] True",
        "['from a template'] [-1]",
    ], done.stderr
    assert not done.stderr


@each_method
def test_a_program_that_does_not_close_them(method: str, tmp_path: Path) -> None:
    with program(tmp_path, "print('done')", method) as started:
        out, err = started.communicate(timeout=50)
    assert (started.returncode, out, err) == (0, "done\n", "")
    setups = pids_in(tmp_path, "setup")
    assert setups == pids_in(tmp_path, "teardown")
    for pid in setups:
        wait_until(lambda pid=pid: is_gone(pid))


@each_method
def test_a_program_that_is_killed(method: str, tmp_path: Path) -> None:
    with program(tmp_path, "Path(sys.argv[2], 'ready').touch(); time.sleep(600)", method) as started:
        wait_until(lambda: (tmp_path / "ready").exists())
        started.kill()
        started.communicate(timeout=50)
    for pid in pids_in(tmp_path, "setup"):
        wait_until(lambda pid=pid: is_gone(pid))


@each_method
def test_a_key_is_pressed(method: str, tmp_path: Path) -> None:
    """Ctrl-C ends the call, and the workers may be used again."""
    text = """
try:
    workers.map(Model, [1, 9, 2])
except KeyboardInterrupt:
    print("interrupted")
print(workers.map(Model, [4, 5]))
workers.close()
"""
    with program(tmp_path, text, method, group=True) as started:
        wait_until(lambda: (tmp_path / "begun").exists())
        os.killpg(started.pid, signal.SIGINT)
        out, err = started.communicate(timeout=50)
    assert (started.returncode, out, err) == (0, "interrupted\n[4, 5]\n", "")


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), 9)", "os._exit(3)"]
)
def test_other_ways_to_end(ending: str, tmp_path: Path) -> None:
    with program(tmp_path, ending) as started:
        started.communicate(timeout=50)
    assert started.returncode in (3, -9)
    for pid in pids_in(tmp_path, "setup"):
        wait_until(lambda pid=pid: is_gone(pid))


def in_a_daemonic_process(method: str) -> tuple[bool, list[int], list[int]]:
    with Workers(2, start_method=method) as workers:  # type: ignore[arg-type]
        results = workers.map(double, range(100))
        return multiprocessing.current_process().daemon, results, workers.pids()


def work_until_killed(method: str, folder: str) -> None:
    workers = Workers(2, start_method=method)  # type: ignore[arg-type]
    for pid in {*workers.map(pid_of, range(5000)), *workers.pids()}:
        Path(folder, f"pid-{pid}").touch()
    signal.pause()


@each_method
@pytest.mark.parametrize("outer", ["fork", "spawn"])
class TestDaemonicProcesses:
    """`multiprocessing` allows a daemonic process no children, since they would outlive it. These do not."""

    def test_in_a_worker_of_a_pool(self, outer: str, method: str) -> None:
        with multiprocessing.get_context(outer).Pool(1) as pool:
            daemon, results, pids = pool.apply(in_a_daemonic_process, (method,))
            assert (daemon, results) == (True, [2 * item for item in range(100)])
            assert pids
            assert all(map(is_gone, pids))
        pool.join()

    @pytest.mark.parametrize("ending", ["kill", "terminate"])
    def test_their_end(self, outer: str, method: str, ending: str, tmp_path: Path) -> None:
        context: Any = multiprocessing.get_context(outer)
        process = context.Process(target=work_until_killed, args=(method, str(tmp_path)), daemon=True)
        process.start()
        wait_until(lambda: list(tmp_path.iterdir()))
        getattr(process, ending)()
        process.join()
        process.close()
        for pid in pids_in(tmp_path, "pid"):
            wait_until(lambda pid=pid: is_gone(pid))
