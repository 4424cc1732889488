"""What native code imports is imported before an item is taken: nobody finds a module half made.

The first `get` of a process used to import pickle and more when it had taken the item. A signal's handler that gets in
the midst of an import, or another thread, found modules half made, and its item was lost.
"""

from __future__ import annotations

import datetime
import decimal
import multiprocessing
import signal
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
from helpers import crew, finish, python

import conveyor

ITEMS = 400
MAKERS: dict[str, Callable[[int], Any]] = {
    "pickled": lambda number: OrderedDict(number=number),
    "date": lambda number: datetime.date.fromordinal(number + 1),
    "decimal": decimal.Decimal,
    "uuid": lambda number: uuid.UUID(int=number),
}


def get_in_the_handler_too(queue: Any, results: Any) -> None:
    """Take all items: here, and 10,000 times a second in a signal's handler."""
    taken: list[Any] = []
    errors: list[str] = []

    def take(*_: object) -> None:
        try:
            taken.append(queue.get_nowait())
        except conveyor.Empty:
            pass
        except BaseException as error:
            errors.append(repr(error))

    signal.signal(signal.SIGALRM, take)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    deadline = time.monotonic() + 20
    while len(taken) + len(errors) < ITEMS and time.monotonic() < deadline:
        take()
    signal.setitimer(signal.ITIMER_REAL, 0)
    results.put((len(taken), errors))


def get_in_threads(queue: Any, results: Any) -> None:
    taken: list[Any] = []
    errors: list[str] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        while True:
            try:
                taken.append(queue.get_nowait())
            except conveyor.Empty:
                return
            except BaseException as error:
                errors.append(repr(error))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((len(taken), errors))


@pytest.mark.parametrize("target", [get_in_the_handler_too, get_in_threads], ids=["handler", "threads"])
@pytest.mark.parametrize("kind", MAKERS)
def test_the_first_items_of_a_process_can_be_taken_at_any_moment(kind: str, target: Any) -> None:
    context = multiprocessing.get_context("spawn")
    queue: conveyor.Queue[Any] = conveyor.Queue()
    results: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as children:
        for _ in range(3):
            queue.put_many(MAKERS[kind](number) for number in range(ITEMS))
            child = context.Process(target=target, args=(queue, results))
            children.append(child)
            child.start()
            assert results.get(timeout=60) == (ITEMS, [])
            finish(child)


def test_all_is_there_once_there_is_a_queue() -> None:
    done = python("""
import sys
import conveyor
assert "pickle" not in sys.modules, "importing conveyor is to cost little"
queue = conveyor.Queue()
needed = {
    "pickle", "copyreg", "multiprocessing.reduction", "conveyor._memory.reducers", "_datetime", "_decimal", "uuid"
}
assert needed <= set(sys.modules), needed - set(sys.modules)
before = set(sys.modules)
queue.put_many([1, {}, range(3), object])
assert len(queue.get_many()) == 4
assert set(sys.modules) == before, set(sys.modules) - before
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["uuid", "datetime", "decimal"])
def test_a_program_may_have_the_name_of_such_a_module(name: str, tmp_path: Any) -> None:
    program = tmp_path / f"{name}.py"
    program.write_text("import conveyor\nqueue = conveyor.Queue()\nqueue.put(1)\nprint('got', queue.get())\n")
    done = python(
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(program)!r})"
    )
    assert (done.returncode, done.stdout) == (0, "got 1\n"), done.stderr
