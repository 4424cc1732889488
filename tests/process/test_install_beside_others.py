"""`conveyor.install()` beside what exists already: queues, executors, libraries with their own classes."""

from __future__ import annotations

import concurrent.futures.process as executor_module
import multiprocessing as mp
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.queues
import multiprocessing.spawn
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, finish, python
from installation import STANDARD, STANDARD_QUEUES, made_here

import conveyor


class EarlySubclass(multiprocessing.queues.JoinableQueue):  # type: ignore[type-arg]
    """What a library defines that is imported before `install`."""


def echo(requests: Any, answers: Any) -> None:
    answers.put((type(requests).__module__, requests.get()))


def unlike(_: object) -> None:
    raise AssertionError("never called: its argument cannot be pickled")


@pytest.fixture
def install() -> Iterator[Callable[[], None]]:
    """`conveyor.install`, undone after the test."""
    assert not conveyor.installed()
    yield conveyor.install
    conveyor.uninstall()
    assert made_here() == STANDARD


# -- what exists already, and what remains --------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_queues_made_before_go_on(kind: str, method: str, install: Callable[[], None]) -> None:
    context = mp.get_context(method)
    requests, answers = getattr(context, kind)(), context.SimpleQueue()
    install()
    requests.put("first")  # starts its feeder thread only now
    with crew() as members:
        child = context.Process(target=echo, args=(requests, answers))
        members.append(child)
        child.start()
        assert answers.get() == ("multiprocessing.queues", "first")
        finish(child)
    assert type(requests) is STANDARD_QUEUES[kind]
    requests.close()
    requests.join_thread()


def test_subclasses_made_before_go_on(install: Callable[[], None]) -> None:
    install()
    early = EarlySubclass(ctx=mp.get_context("spawn"))
    early.put(1)
    assert early.get() == 1
    early.task_done()
    early.join()
    early.close()
    early.join_thread()


LIBRARY = """
import multiprocessing.queues

class Base(multiprocessing.queues.JoinableQueue):
    def get(self):
        return "got", super().get()

class Derived(Base):
    extra = "extra"
    def __getstate__(self):
        return super().__getstate__(), "extra"
    def __setstate__(self, state):
        state, self.extra = state
        super().__setstate__(state)

def echo(requests, answers):
    answers.put((isinstance(requests, multiprocessing.queues.Queue), requests.extra, requests.get()))
    requests.task_done()
"""
PROGRAM = """
import sys
import library
import multiprocessing
import conveyor

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    requests = library.Derived(ctx=context)
    conveyor.install()
    answers = context.Queue()
    child = context.Process(target=library.echo, args=(requests, answers))
    child.start()
    requests.put(1)
    print(answers.get())
    requests.join()
    child.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_librarys_subclass_from_before_reaches_children(method: str, tmp_path: Path) -> None:
    # A spawned child installs first, so that there the library's class stands on conveyor's.
    (tmp_path / "library.py").write_text(LIBRARY)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), method], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "(False, 'extra', ('got', 1))\n", done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_queues_made_in_between_go_on(method: str, install: Callable[[], None]) -> None:
    context = mp.get_context(method)
    install()
    requests, answers = context.Queue(), context.SimpleQueue()
    conveyor.uninstall()
    requests.put("still here")
    with crew() as members:
        child = context.Process(target=echo, args=(requests, answers))
        members.append(child)
        child.start()
        assert answers.get() == ("conveyor", "still here")
        finish(child)


@pytest.mark.parametrize("method", METHODS)
def test_executors_outlive_install_and_uninstall(method: str, install: Callable[[], None]) -> None:
    context = mp.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as before:
        assert before.submit(abs, -1).result() == 1
        install()
        # Executors that do not fork start their second worker only now that there is work for it.
        assert list(before.map(abs, range(-20, 0))) == list(range(20, 0, -1))
        with ProcessPoolExecutor(2, mp_context=context) as within:
            assert within.submit(abs, -1).result() == 1
            conveyor.uninstall()
            assert list(within.map(abs, range(-20, 0))) == list(range(20, 0, -1))
            with ProcessPoolExecutor(2, mp_context=context) as after:
                assert after.submit(abs, -1).result() == 1


# -- concurrent.futures ---------------------------------------------------------------------------------


def test_the_executors_queue_is_rebuilt_on_ours(install: Callable[[], None]) -> None:
    original = executor_module._SafeQueue  # type: ignore[attr-defined]
    install()
    rebuilt = executor_module._SafeQueue  # type: ignore[attr-defined]
    assert rebuilt.__mro__[:2] == (rebuilt, conveyor.Queue)
    assert (rebuilt.__name__, rebuilt.__module__, rebuilt.__doc__) == (
        original.__name__,
        original.__module__,
        original.__doc__,
    )
    assert executor_module.Queue is conveyor.Queue  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_an_argument_that_cannot_be_pickled_fails_its_own_future_only(
    method: str, install: Callable[[], None]
) -> None:
    install()
    with ProcessPoolExecutor(1, mp_context=mp.get_context(method)) as executor:
        failing = executor.submit(unlike, threading.Lock())
        with pytest.raises(TypeError, match="pickle"):
            failing.result()
        assert executor.submit(abs, -3).result() == 3


EXECUTOR_IMPORTED_IN_BETWEEN = """
import multiprocessing as mp, multiprocessing.queues, conveyor
standard = mp.queues.Queue
conveyor.install()
import concurrent.futures.process as module
assert issubclass(module._SafeQueue, conveyor.Queue)
if __name__ == "__main__":
    with module.ProcessPoolExecutor(1, mp_context=mp.get_context("spawn")) as running:
        assert running.submit(abs, -1).result() == 1
        conveyor.uninstall()
        assert issubclass(module._SafeQueue, standard) and module.Queue is standard
        with module.ProcessPoolExecutor(1, mp_context=mp.get_context("spawn")) as executor:
            print(executor.submit(abs, -2).result())
        print(running.submit(abs, -3).result())
"""


def test_an_executor_imported_in_between_is_put_back_too() -> None:
    done = python(EXECUTOR_IMPORTED_IN_BETWEEN)
    assert done.stdout == "2\n3\n", done.stderr


# -- libraries ------------------------------------------------------------------------------------------


def test_logging_through_a_queue_made_by_the_library(install: Callable[[], None]) -> None:
    import logging
    import logging.handlers

    install()
    records = mp.Queue()
    assert type(records) is conveyor.Queue
    logger = logging.Logger("test")
    logger.addHandler(logging.handlers.QueueHandler(records))
    logger.error("said %s", "so")
    assert records.get(timeout=10).getMessage() == "said so"
    with pytest.raises(queue.Empty):
        records.get_nowait()


def test_managers_queues_stay_what_they_are(install: Callable[[], None]) -> None:
    install()
    with mp.Manager() as manager:
        managed = manager.JoinableQueue()
        managed.put(1)
        assert managed.get() == 1
        managed.task_done()
        managed.join()


LIKE_LOKY = """
from multiprocessing.queues import Full, Queue as mp_Queue, SimpleQueue as mp_SimpleQueue

class Queue(mp_Queue):
    def __init__(self, maxsize=0, ctx=None):
        super().__init__(maxsize, ctx=ctx)
    def __getstate__(self):
        return self._reader, self._writer, self._sem
    def _start_thread(self):
        super()._start_thread()

class SimpleQueue(mp_SimpleQueue):
    pass
"""


def test_a_library_inside_the_standard_librarys_classes_gets_those(tmp_path: Path) -> None:
    package = tmp_path / "loky" / "backend"
    package.mkdir(parents=True)
    (tmp_path / "loky" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "queues.py").write_text(LIKE_LOKY)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import multiprocessing as mp, multiprocessing.queues, conveyor
standard = mp.queues.Queue, mp.queues.SimpleQueue
conveyor.install()
import loky.backend.queues as theirs
assert theirs.Queue.__bases__ == standard[:1] and theirs.SimpleQueue.__bases__ == standard[1:]
assert theirs.mp_Queue is standard[0]
made = theirs.Queue(ctx=mp.get_context())
made.put("well")
print(made.get())
"""
    done = python(code)
    assert done.stdout == "well\n", done.stderr


LOKY = """
import sys
if sys.argv[1] == "before":
    import loky
import conveyor
conveyor.install()
import loky
if __name__ == "__main__":
    executor = loky.get_reusable_executor(2)
    print(list(executor.map(abs, [-1, -2, -3])))
    executor.shutdown()
"""


@pytest.mark.parametrize("imported", ["before", "after"])
def test_loky_works_beside_it(imported: str) -> None:
    pytest.importorskip("loky")
    done = python(LOKY, imported)
    assert done.stdout == "[1, 2, 3]\n", done.stderr
