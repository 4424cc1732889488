"""A `Pool` whose workers end before their first task: after some in a row its tasks raise, and nobody hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import pool as standard
from pathlib import Path
from typing import Any

import pytest

import conveyor.multiprocessing as multiprocessing
from conveyor import DeadLetter, WorkerPoolBroken
from conveyor.multiprocessing._pool_queues import PoolQueues

METHODS = ["fork", "spawn", "forkserver"]
SECONDS = 50


def double(item: Any) -> Any:
    return 2 * item


def measure(item: bytes) -> int:
    return len(item)


def end(how: str, folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raises SystemExit":
        sys.exit("not today")
    os._exit(3)


def end_unless_enough(folder: str, enough: int) -> None:
    if len(list(Path(folder).iterdir())) < enough:
        end("exits", folder)


def end_but_for_the_first(folder: str) -> None:
    try:
        Path(folder, "first").mkdir()
    except FileExistsError:
        os._exit(3)


def pid_after_a_while(_: Any) -> int:
    time.sleep(0.01)
    return os.getpid()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("how", "says"),
    [("killed", "killed by signal 9"), ("exits", "with status 3"), ("raises SystemExit", "with status 1")],
)
def test_an_initializer_that_ends_its_worker(method: str, how: str, says: str, tmp_path: Path) -> None:
    with multiprocessing.get_context(method).Pool(2, end, (how, str(tmp_path))) as pool:
        before = [pool.apply_async(double, (item,)) for item in range(5)]
        for call in before:
            with pytest.raises(WorkerPoolBroken, match=f"{says}.*initializer"):
                call.get(SECONDS)
        with pytest.raises(WorkerPoolBroken):
            pool.apply(double, (1,))
        with pytest.raises(WorkerPoolBroken):
            pool.map(double, range(1000))
        with pytest.raises(WorkerPoolBroken):
            pool.starmap_async(double, [(1,)]).get(SECONDS)
        with pytest.raises(WorkerPoolBroken):
            pool.imap(double, [1]).next(SECONDS)
        pool.close()
        pool.join()
    assert 10 <= len(list(tmp_path.iterdir())) <= 12


def test_one_that_fails_for_a_while(tmp_path: Path) -> None:
    """As when memory is short: it goes on as soon as a worker has begun."""
    with multiprocessing.Pool(2, end_unless_enough, (str(tmp_path), 7)) as pool:
        assert pool.map(double, range(100), chunksize=3) == [2 * item for item in range(100)]


def test_more_tasks_than_there_is_room_for(tmp_path: Path) -> None:
    with multiprocessing.Pool(1, end, ("killed", str(tmp_path))) as pool:
        calls = [pool.apply_async(measure, (bytes(500_000),)) for _ in range(40)]
        for call in calls:
            with pytest.raises(WorkerPoolBroken):
                call.get(SECONDS)
        pool.terminate()
        pool.join()


def test_a_worker_that_has_begun_goes_on_alone(tmp_path: Path) -> None:
    with multiprocessing.Pool(3, end_but_for_the_first, (str(tmp_path),)) as pool:
        pids = set(pool.map(pid_after_a_while, range(200), chunksize=1))
        assert len(pids) == 1
        os.kill(pids.pop(), signal.SIGKILL)
        with pytest.raises(WorkerPoolBroken):
            pool.apply(double, (1,))


def test_workers_that_leave_after_each_task_do_not_count(tmp_path: Path) -> None:
    with multiprocessing.Pool(2, maxtasksperchild=1) as pool:
        assert pool.map(double, range(60), chunksize=1) == [2 * item for item in range(60)]


UNGUARDED = """
import sys
{imports}
print("begun", flush=True)
with multiprocessing.get_context({method!r}).Pool(2) as pool:
    print(pool.map(abs, [-1]))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize(
    "imports",
    [
        "import conveyor.multiprocessing as multiprocessing",
        "import conveyor, multiprocessing; conveyor.install()",
    ],
)
def test_a_main_module_without_a_guard(method: str, imports: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(UNGUARDED.format(method=method, imports=imports))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "WorkerPoolBroken" in done.stderr
    assert "what the main module does when it is imported" in done.stderr


@pytest.mark.parametrize("late", [4711, DeadLetter(None, 1, "", 4711)], ids=["begins", "dies"])
def test_a_worker_that_begins_when_the_pool_ends_keeps_it_from_nothing(late: object) -> None:
    """The thread for the results empties their queue before it ends, and must not wait there for what will not come."""
    queues = PoolQueues()
    queues.results.put(None)
    queues.results.put(late)
    arguments: Any = (queues.results, queues.get, {})
    handler = threading.Thread(target=standard.Pool._handle_results, args=arguments, daemon=True)  # type: ignore[attr-defined]
    handler._state = standard.RUN  # type: ignore[attr-defined]
    handler.start()
    handler.join(SECONDS)
    ended = not handler.is_alive()
    queues.results.put(None)  # or it would wait on
    handler.join()
    assert ended
