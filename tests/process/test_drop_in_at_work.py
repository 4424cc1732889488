"""Programs on `conveyor.multiprocessing`: processes, pipes, pools, executors, of every start method."""

from __future__ import annotations

import multiprocessing as standard
import multiprocessing.pool
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, finish

import conveyor
import conveyor.multiprocessing as multiprocessing


def square(number: int) -> int:
    return number * number


def answer(requests: Any, answers: Any) -> None:
    for request in iter(requests.get, None):
        answers.put(square(request))


def work_off(tasks: Any) -> None:
    for _ in iter(tasks.get, None):
        tasks.task_done()
    tasks.task_done()


def reply(end: Any) -> None:
    with end:
        end.send(("got", end.recv()))


def test_queues_between_processes(context: Any) -> None:
    requests, answers = context.Queue(), context.SimpleQueue()
    with crew() as members:
        child = context.Process(target=answer, args=(requests, answers))
        members.append(child)
        child.start()
        for number in (*range(100), None):
            requests.put(number)
        assert [answers.get() for _ in range(100)] == [square(number) for number in range(100)]
        finish(child)


def test_a_joinable_queue_between_processes(context: Any) -> None:
    tasks = context.JoinableQueue()
    with crew() as members:
        child = context.Process(target=work_off, args=(tasks,))
        members.append(child)
        child.start()
        for task in (1, 2, 3, None):
            tasks.put(task)
        tasks.join()
        assert tasks.empty()
        finish(child)


def test_a_pipe_between_processes(context: Any) -> None:
    ours, theirs = context.Pipe()
    with crew() as members, ours:
        child = context.Process(target=reply, args=(theirs,))
        members.append(child)
        child.start()
        theirs.close()
        ours.send(None)
        assert ours.recv() == ("got", None)
        with pytest.raises(EOFError):
            ours.recv()
        finish(child)


def test_wait_takes_queues_pipes_and_processes_together(context: Any) -> None:
    wait = multiprocessing.connection.wait
    requests, answers = context.Queue(), context.Queue()
    ours, theirs = context.Pipe(duplex=False)
    with crew() as members, ours, theirs:
        child = context.Process(target=answer, args=(requests, answers))
        members.append(child)
        child.start()
        everything = [answers._reader, ours, child.sentinel]
        assert wait(everything, timeout=0) == []
        requests.put(3)
        assert wait(everything) == [answers._reader]
        assert answers.get() == 9
        assert wait(everything, timeout=0) == []
        theirs.send("x")
        assert wait(everything) == [ours]
        assert ours.recv() == "x"
        requests.put(None)
        assert wait(everything) == [child.sentinel]
        finish(child)


def test_pools_are_over_conveyors_queues(context: Any) -> None:
    with context.Pool(2) as pool:
        assert isinstance(pool._inqueue, conveyor.Queue)
        assert isinstance(pool._outqueue, conveyor.Queue)
        assert isinstance(pool, multiprocessing.pool.Pool)
        assert isinstance(pool, standard.pool.Pool)
        assert pool.map(square, range(20)) == [square(number) for number in range(20)]
        assert list(pool.imap_unordered(square, [3])) == [9]
        with pytest.raises(TypeError):
            pool.apply(square, ("text",))
        pool.close()
        pool.join()


def test_the_pool_class_itself_is_over_conveyors_queues(start_method: None) -> None:
    multiprocessing.set_start_method("spawn", force=True)
    with multiprocessing.pool.Pool(1) as pool:
        assert pool._ctx is multiprocessing.get_context("spawn")  # type: ignore[attr-defined]
        assert pool.apply(square, (4,)) == 16
        pool.close()
        pool.join()
    with multiprocessing.pool.Pool(1, context=standard.get_context("fork")) as pool:
        assert type(pool._inqueue).__module__ == "multiprocessing.queues"  # type: ignore[attr-defined]
        pool.close()
        pool.join()


def test_a_thread_pool_is_a_pool() -> None:
    with multiprocessing.pool.ThreadPool(2) as pool:
        assert isinstance(pool, multiprocessing.pool.Pool)
        assert isinstance(pool, standard.pool.ThreadPool)
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
        pool.close()
        pool.join()


def test_an_executor_takes_the_context(context: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(square, range(20))) == [square(number) for number in range(20)]
        assert type(executor._result_queue) is conveyor.SimpleQueue  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            executor.submit(square, "text").result()


@pytest.mark.leaves("multiprocessing.heap keeps the memory of its Values for the life of the process")
def test_managers_memory_and_locks(context: Any) -> None:
    with context.Manager() as manager:
        shared = manager.dict(a=1)
        assert dict(shared) == {"a": 1}
        managed = manager.Queue()
        managed.put(1)
        assert managed.get() == 1
    with context.Lock(), context.RLock():
        assert context.Value("i", 7).value == 7
        assert list(context.Array("i", [1, 2])) == [1, 2]
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=8)
    memory.close()
    memory.unlink()


CLASSIC = """
import conveyor.multiprocessing as multiprocessing

def producer(queue):
    for number in range(5):
        print(f"Producer: Put {number} into the queue.", flush=True)
        queue.put(number)
    queue.put(None)

def consumer(queue):
    while True:
        item = queue.get()
        if item is None:
            break
    print("Consumer: Received termination signal.", flush=True)

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    queue = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(queue,)) for work in (producer, consumer)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print("Done!")
"""


@pytest.mark.parametrize("method", METHODS)
def test_the_classic_program_runs_with_one_line_changed(method: str, tmp_path: Path) -> None:
    program = tmp_path / "classic.py"
    program.write_text(CLASSIC.replace("{method!r}", repr(method)))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("Producer")] == [
        f"Producer: Put {number} into the queue." for number in range(5)
    ]
    assert lines[-2:] == ["Consumer: Received termination signal.", "Done!"]
