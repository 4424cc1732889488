"""EOF at a reader whose every writer has closed or died, EPIPE at a writer whose every reader has: as of a pipe."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, until

from conveyor import Queue, SimpleQueue

POOL = """
import os, sys, time
import conveyor.multiprocessing as multiprocessing

def pid(_):
    time.sleep(0.05)
    return os.getpid()

if __name__ == "__main__":
    pool = multiprocessing.get_context(sys.argv[1]).Pool(2)
    print(*set(pool.map(pid, range(20), chunksize=1)), flush=True)
    sys.stdin.read()
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_pool_end_with_a_killed_parent(method: str, tmp_path: Path) -> None:
    program = tmp_path / "pool.py"
    program.write_text(POOL)
    parent = subprocess.Popen(
        [sys.executable, program, method],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert workers
        parent.kill()
        try:
            until(lambda: not any(map(lives, workers)), "the workers end")
        finally:
            for pid in filter(lives, workers):
                os.kill(pid, signal.SIGKILL)


def hold(queue: Any, told: Any) -> None:
    told.put(os.getpid())
    signal.pause()
    queue.put(None)


@pytest.mark.parametrize("make", [Queue, SimpleQueue])
@pytest.mark.parametrize("method", METHODS)
def test_a_reader_gets_eof_when_the_last_writer_has_died(method: str, make: Any) -> None:
    queue, told = make(), Queue[int]()
    with crew() as members:
        members.append(multiprocessing.get_context(method).Process(target=hold, args=(queue, told)))
        members[0].start()
        told.get()
        queue.put("last")
        queue._writer.close()
        assert queue.get() == "last"
        assert not queue._reader.poll(0.3), "there is a writer, though it never wrote"
        members[0].kill()
        with pytest.raises(EOFError):
            queue.get()
        assert queue._reader.poll()
        with pytest.raises(EOFError):
            queue._reader.recv()


@pytest.mark.parametrize("make", [Queue, SimpleQueue])
@pytest.mark.parametrize("method", METHODS)
def test_a_writer_gets_broken_pipe_when_the_last_reader_has_died(method: str, make: Any) -> None:
    queue, told = make(), Queue[int]()
    with crew() as members:
        members.append(multiprocessing.get_context(method).Process(target=hold, args=(queue, told)))
        members[0].start()
        told.get()
        queue._reader.close()
        queue.put("there is a reader")
        members[0].kill()
        members[0].join()
        with pytest.raises(BrokenPipeError):
            queue.put("nobody will read it")
        with pytest.raises(BrokenPipeError):
            queue._writer.send("nor this")


def test_whoever_has_closed_nothing_waits_on() -> None:
    queue: Queue[int] = Queue()
    assert not queue._reader.poll(0.1)
    queue.put(1)
    assert queue.get() == 1


@pytest.mark.parametrize("maxsize", [0, 1])
def test_who_says_so_is_not_told_that_there_is_no_reader_left(maxsize: int) -> None:
    queue = Queue[Any](maxsize)
    queue._ignore_epipe = True
    queue._reader.close()
    for item in (1, "x" * 100_000, [bytearray(1_000_000)]):
        queue.put(item)
        queue.put_nowait(item)
    queue._ignore_epipe = False
    with pytest.raises(BrokenPipeError):
        queue.put(1)


BROKEN = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import conveyor.multiprocessing as multiprocessing

def end(_):
    os._exit(1)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for _ in range(5):
        executor = ProcessPoolExecutor(3, mp_context=context)
        futures = [executor.submit(abs, -1) for _ in range(5)] + [executor.submit(end, 1) for _ in range(5)]
        try:
            futures[-1].result()
        except BrokenProcessPool:
            print("broken")
        executor.shutdown()
    assert not multiprocessing.active_children()
"""


@pytest.mark.parametrize("method", METHODS)
def test_an_executor_whose_worker_ends_is_broken_and_nothing_else(method: str, tmp_path: Path) -> None:
    program = tmp_path / "broken.py"
    program.write_text(BROKEN)
    done = subprocess.run(
        [sys.executable, program, method], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["broken"] * 5, "")
