"""Defects 3, 4, 6, 27, 28 and 32: processes end at once, quietly, and leave nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, finish, python, soundly_asleep, until

import conveyor

SHARED_MEMORY = Path("/dev/shm")


def put_all(queue: Any, items: list[bytes]) -> None:
    for item in items:
        queue.put(item)


@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue])
@pytest.mark.parametrize("method", METHODS)
def test_defect_03_a_child_can_be_joined_before_its_items_are_read(method: str, kind: Any) -> None:
    items = [b"x" * 70_000, b"y" * 10_000_000, *[b"z" * 1000] * 1000]
    queue = kind()
    process = multiprocessing.get_context(method).Process(target=put_all, args=(queue, items))
    process.start()
    finish(process)
    assert queue.get_many(2000) == items


def test_defect_03_standard_library_deadlocks() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with crew() as members:
        process = context.Process(target=put_all, args=(queue, [b"x" * 70_000]))
        members.append(process)
        process.start()
        process.join(1)
        assert process.exitcode is None
        assert queue.get() == b"x" * 70_000
        finish(process)


MAIN_ENDS_WITH_UNREAD_ITEMS = """
import sys, {module}
queue = {module}.{kind}()
for _ in range(10):
    queue.put(b"x" * 100_000)
"""


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "SimpleQueue"])
def test_defect_04_the_main_process_exits_with_unread_items(kind: str) -> None:
    result = python(MAIN_ENDS_WITH_UNREAD_ITEMS.format(module="conveyor", kind=kind), seconds=20)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_defect_04_standard_library_hangs() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        python(MAIN_ENDS_WITH_UNREAD_ITEMS.format(module="multiprocessing", kind="Queue"), seconds=1.5)


THE_LAST_ACT = """
import multiprocessing, sys, conveyor

def put_the_impossible(queue):
    queue.put("fine")
    queue.put(lambda: None)

if __name__ == "__main__":
    queue = conveyor.Queue()
    process = multiprocessing.get_context(sys.argv[1]).Process(target=put_the_impossible, args=(queue,))
    process.start()
    process.join()
    print(process.exitcode, queue.get_many())
"""


def run_script(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program from a file of its own, as spawn needs it; `helpers` is importable there."""
    script = folder / "script.py"
    script.write_text(text)
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    return subprocess.run(
        [sys.executable, "-W", "default", str(script), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("method", METHODS)
def test_defect_06_a_pickling_error_in_the_last_act_is_seen(method: str, tmp_path: Path) -> None:
    result = run_script(THE_LAST_ACT, tmp_path, method)
    assert result.stdout == "1 ['fine']\n"
    assert "in put_the_impossible" in result.stderr
    assert "<lambda>" in result.stderr.splitlines()[-1]


MANY_QUEUES = """
import multiprocessing, sys, conveyor, os
from multiprocessing import resource_tracker

def work(queues, done):
    for kind in queues:
        for queue in kind:
            queue.put(os.getpid())
    done.put(None)

if __name__ == "__main__":
    before = set(os.listdir("/dev/shm"))
    context = multiprocessing.get_context(sys.argv[1])
    kinds = conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue
    queues = [[kind(ctx=context) for _ in range(20)] for kind in kinds]
    pipe, done = conveyor.Pipe(), conveyor.Queue()
    processes = [context.Process(target=work, args=(queues, done)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        done.get()
    new = {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("conveyor.")}
    if sys.argv[1] == "fork":
        assert resource_tracker._resource_tracker._pid is None, "no resource was ever registered"
    how = sys.argv[2]
    if how == "join":
        for process in processes:
            process.join()
    print(sorted(new), flush=True)
    if how == "vanish":
        os._exit(3)
"""


@pytest.mark.parametrize("how", ["join", "leave", "vanish"])
@pytest.mark.parametrize("method", METHODS)
def test_defect_27_no_files_and_not_a_word_on_stderr(method: str, how: str, tmp_path: Path) -> None:
    result = run_script(MANY_QUEUES, tmp_path, method, how)
    assert result.stderr == ""
    assert result.stdout == "[]\n"
    assert result.returncode == (3 if how == "vanish" else 0)


def test_defect_27_standard_library_has_files_that_a_kill_leaves_to_the_tracker() -> None:
    queue = multiprocessing.get_context("spawn").Queue()
    name = queue._rlock._semlock.name  # type: ignore[attr-defined]
    assert (SHARED_MEMORY / f"sem.{name.lstrip('/')}").exists()


ATTACH_AND_LEAVE = """
import sys, conveyor
queue = conveyor.connect(sys.argv[1], create=False)
assert queue.get() == "before"
queue.put("after")
"""


@pytest.mark.parametrize("ending", ["", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"])
def test_defect_28_an_unrelated_process_that_leaves_takes_nothing_with_it(ending: str) -> None:
    url = f"shm://defect-28-{os.getpid()}"
    queue = conveyor.connect(url, create=True)
    try:
        for _ in range(3):
            queue.put("before")
            result = python(ATTACH_AND_LEAVE + ending, url)
            assert result.stderr == ""
            assert conveyor.connect(url, create=False).get(timeout=1) == "after"
            assert queue.empty()
    finally:
        conveyor.remove(url)


SHARED_MEMORY_ATTACH = """
import sys
from multiprocessing.shared_memory import SharedMemory
SharedMemory(sys.argv[1]).close()
"""


def test_defect_28_standard_library_unlinks_what_others_use() -> None:
    from multiprocessing import resource_tracker
    from multiprocessing.shared_memory import SharedMemory

    shared = SharedMemory(create=True, size=100)
    try:
        assert python(SHARED_MEMORY_ATTACH, shared.name).returncode == 0
        until(lambda: not (SHARED_MEMORY / shared.name).exists(), "the leaving process's tracker unlinks it")
    finally:
        shared.close()
        resource_tracker.unregister(f"/{shared.name}", "shared_memory")


WORKERS_BLOCKED_WHEN_MAIN_ENDS = """
import multiprocessing, sys, conveyor, os

def get(queue, ready):
    ready.put(os.getpid())
    queue.get()

def put(queue, ready):
    ready.put(os.getpid())
    queue.put("no room")

def receive(end, ready):
    ready.put(os.getpid())
    end.recv()

if __name__ == "__main__":
    from helpers import soundly_asleep, until
    context = multiprocessing.get_context(sys.argv[1])
    ready = conveyor.Queue()
    empty, full, (mine, theirs) = conveyor.Queue(), conveyor.Queue(1), conveyor.Pipe()
    full.put("full")
    for target, thing in ((get, empty), (get, empty), (put, full), (receive, theirs)):
        context.Process(target=target, args=(thing, ready), daemon=True).start()
    for pid in [ready.get(timeout=30) for _ in range(4)]:
        until(lambda: soundly_asleep(pid), "it blocks")
    empty.close()
    full.close()
    empty.join_thread()
"""


@pytest.mark.parametrize("method", METHODS)
def test_defect_32_daemons_blocked_in_calls_end_without_a_word(method: str, tmp_path: Path) -> None:
    result = run_script(WORKERS_BLOCKED_WHEN_MAIN_ENDS, tmp_path, method)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def put_after_close(queue: Any, ready: Any) -> None:
    ready.put(None)
    queue.put("from the child")


@pytest.mark.parametrize("method", METHODS)
def test_defect_32_a_parents_close_is_no_broken_pipe_for_its_children(
    method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[str] = conveyor.Queue(1)
    ready: conveyor.Queue[None] = conveyor.Queue()
    queue.put("full")
    with crew() as members:
        members.append(context.Process(target=put_after_close, args=(queue, ready)))
        members[0].start()
        ready.get(timeout=30)
        until(lambda: soundly_asleep(members[0].pid or 0), "it waits for room")
        reader = queue._reader
        queue.close()
        assert reader.recv() == "full"
        finish(members[0])
    assert capfd.readouterr() == ("", "")
