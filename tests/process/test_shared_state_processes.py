"""Shared dicts and lists between processes: every way to get there, several writers, and deaths at random."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor import Queue, SharedDict, SharedList

CONTEXTS = [multiprocessing.get_context(method) for method in ("fork", "spawn", "forkserver")]


def add(shared: SharedDict[str, Any], items: SharedList[Any], number: int) -> None:
    shared[f"from {number}"] = os.getpid()
    items.append(number)
    for _ in range(100):
        with shared.update("sum") as held:
            held.value = held.get(0) + 1


def add_by_queue(queue: Queue[Any]) -> None:
    add(*queue.get())


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.get_start_method())
def test_handles_pass_anywhere(context: BaseContext) -> None:
    shared: SharedDict[str, Any] = SharedDict()
    items: SharedList[Any] = SharedList()
    queue: Queue[Any] = Queue(ctx=context)
    children = [
        context.Process(target=add, args=(shared, items, 0)),  # type: ignore[attr-defined]
        context.Process(target=add_by_queue, args=(queue,)),  # type: ignore[attr-defined]
    ]
    for child in children:
        child.start()
    queue.put((shared, items, 1))
    for child in children:
        child.join()
        assert child.exitcode == 0
    with context.Pool(1) as pool:
        pool.apply(add, (shared, items, 2))
        pool.close()
        pool.join()
    assert shared["sum"] == 300
    assert sorted(items) == [0, 1, 2]
    assert sorted(shared) == ["from 0", "from 1", "from 2", "sum"]
    assert not shared._check()
    assert not items._check()
    queue.close()  # also lets go of what was sent and received


def test_a_handle_within_a_shared_value() -> None:
    outer: SharedDict[str, Any] = SharedDict()
    inner = SharedList([1])
    outer["inner"] = inner
    outer["inner"].append(2)
    assert inner == [1, 2]
    del outer["inner"]


def in_two_places(shared: SharedDict[Any, int]) -> None:
    number = 0
    while "stop" not in shared:
        number += 1
        shared["one"] = number
        shared["two"] = number


def test_a_snapshot_is_of_one_moment() -> None:
    shared: SharedDict[Any, Any] = SharedDict({"one": 0, "two": 0})
    shared.update(dict.fromkeys(range(500), "x" * 50))
    context = CONTEXTS[0]
    child = context.Process(target=in_two_places, args=(shared,))  # type: ignore[attr-defined]
    child.start()
    seen = set()
    try:
        while len(seen) < 50:
            moment = dict(shared.items())
            assert moment["one"] - moment["two"] in (0, 1)
            seen.add(moment["one"])
    finally:
        shared["stop"] = True
        child.join()


def hold(shared: SharedDict[str, Any], entered: Any) -> None:
    with shared.update("a") as held:
        held.value = "never"
        entered.set()
        signal.pause()


def test_a_claim_lapses_with_its_process() -> None:
    shared: SharedDict[str, Any] = SharedDict({"a": "old"})
    context = CONTEXTS[0]
    entered = context.Event()
    child = context.Process(target=hold, args=(shared, entered))  # type: ignore[attr-defined]
    child.start()
    assert entered.wait(20)
    assert shared["a"] == "old"
    with pytest.raises(TimeoutError, match="inside update"), shared.updating("a", timeout=0.05):
        pass
    child.kill()
    start = time.monotonic()
    with shared.update("a") as held:
        assert held.value == "old"
        held.value = "new"
    assert time.monotonic() - start < 5
    child.join()
    assert shared == {"a": "new"}
    assert not shared._check()


def test_a_block_does_not_pass_a_fork() -> None:
    shared: SharedDict[str, Any] = SharedDict({"a": 1})
    with shared.update("a") as held:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                held.value = 5
                held.__exit__(None, None, None)
            except conveyor.LeaseLost:
                code = 7
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        held.value = 2
    assert shared == {"a": 2}


def torture(shared: SharedDict[Any, Any], items: SharedList[Any], seed: int) -> None:
    """For ever: every operation leaves what `audit` can check."""
    choose = random.Random(seed)
    while True:
        number = choose.randrange(200)
        size = choose.choice([1, 20, 300, 5000, 100_000])
        kind = choose.randrange(12)
        if kind < 4:
            shared[number] = (number, "x" * size)
        elif kind == 4:
            shared.pop(number, None)
        elif kind == 5:
            with shared.update(number) as held:
                held.value = (number, "y" * size)
        elif kind == 6:
            with shared.update("sum") as held:
                held.value += 1
        elif kind == 7:
            items.append("z" * (size // 10))
            items.insert(choose.randrange(50), "middle")
        elif kind == 8:
            items.extend(["batch"] * 64)
        elif kind == 9:
            with contextlib.suppress(IndexError):
                items.pop(0)
        elif kind == 10 and len(items) > 500:
            items.clear()
        else:
            items[5:9] = ["s"] * choose.randrange(4)


def audit(shared: SharedDict[Any, Any], items: SharedList[Any]) -> int:
    for key, value in shared.items():
        assert value == key or key == "sum" or (value[0] == key and set(value[1]) <= {"x", "y"})
    # A batch is in as a whole; only what is taken from the front, and put into the middle, parts it.
    assert all(set(item) <= set("zmidleabtchs") for item in items)
    assert not shared._check()
    assert not items._check()
    return shared["sum"]


@pytest.mark.slow
def test_killed_at_random_moments() -> None:
    shared: SharedDict[Any, Any] = SharedDict({"sum": 0})
    items: SharedList[Any] = SharedList()
    context = CONTEXTS[0]
    choose = random.Random(7)

    def start(seed: int) -> Any:
        child = context.Process(target=torture, args=(shared, items, seed))  # type: ignore[attr-defined]
        child.start()
        return child

    children = [start(seed) for seed in range(3)]
    last = 0
    for seed in range(3, 63):
        time.sleep(choose.random() * 0.04)  # the random moment itself, not a wait for something
        victim = children.pop(choose.randrange(3))
        victim.kill()
        victim.join()
        children.append(start(seed))
        if seed % 5 == 0:
            now = audit(shared, items)
            assert now >= last
            last = now
    for child in children:
        child.kill()
        child.join()
    assert audit(shared, items) > 0
    shared.clear()
    items.clear()
    assert shared.nbytes == items.nbytes == 0


FLIPPING = Path(__file__).with_name("flipping_state.py")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_flipped_bits(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, FLIPPING, str(seed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fine, corrupt = map(int, done.stdout.split())
    assert fine > 500
    assert corrupt > 50
