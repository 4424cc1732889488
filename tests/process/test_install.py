"""`conveyor.install()`: the standard library makes conveyor's queues, in this process and its children."""

from __future__ import annotations

import multiprocessing as mp
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.queues
import multiprocessing.spawn
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Queue as ImportedFactory
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, finish, python
from installation import (
    OURS,
    STANDARD,
    fingerprint,
    made_here,
    report,
    report_deep,
    worker_report,
)

import conveyor


@pytest.fixture
def install() -> Iterator[Callable[[], None]]:
    """`conveyor.install`, undone after the test."""
    assert not conveyor.installed()
    yield conveyor.install
    conveyor.uninstall()
    assert made_here() == STANDARD


# -- this process ---------------------------------------------------------------------------------------


def test_every_factory_makes_conveyors(install: Callable[[], None]) -> None:
    install()
    assert conveyor.installed()
    assert made_here() == OURS
    assert type(ImportedFactory(3)) is conveyor.Queue
    for method in METHODS:
        context = mp.get_context(method)
        assert type(context.Queue(3)) is conveyor.Queue
        assert type(context.JoinableQueue(3)) is conveyor.JoinableQueue
        assert type(context.SimpleQueue()) is conveyor.SimpleQueue
    made = multiprocessing.queues.Queue(3, ctx=mp.get_context("spawn"))
    assert isinstance(made, conveyor.Queue)


def test_isinstance_tells_the_truth_while_installed(install: Callable[[], None]) -> None:
    install()
    assert isinstance(mp.Queue(), multiprocessing.queues.Queue)
    assert isinstance(mp.JoinableQueue(), multiprocessing.queues.Queue)
    assert isinstance(mp.SimpleQueue(), multiprocessing.queues.SimpleQueue)
    assert not isinstance(mp.SimpleQueue(), multiprocessing.queues.Queue)


def test_uninstall_restores_exactly(install: Callable[[], None]) -> None:
    before = fingerprint()
    install()
    assert fingerprint() != before
    conveyor.uninstall()
    assert fingerprint() == before
    assert not conveyor.installed()


def test_both_are_idempotent(install: Callable[[], None]) -> None:
    before = fingerprint()
    conveyor.uninstall()
    assert fingerprint() == before
    install()
    once = fingerprint()
    install()
    assert fingerprint() == once
    conveyor.uninstall()
    conveyor.uninstall()
    assert fingerprint() == before
    install()
    assert made_here() == OURS


def test_uninstall_leaves_what_another_has_put_over_it(install: Callable[[], None]) -> None:
    originals = multiprocessing.queues.Queue, multiprocessing.spawn.get_preparation_data
    install()
    theirs: Any = type("Theirs", (), {})
    wrapped = multiprocessing.spawn.get_preparation_data
    try:
        multiprocessing.queues.Queue = theirs  # type: ignore[misc]
        multiprocessing.spawn.get_preparation_data = lambda name: {**wrapped(name), "theirs": 1}
        assert "conveyor_install" in multiprocessing.spawn.get_preparation_data("child")
        conveyor.uninstall()
        assert multiprocessing.queues.Queue is theirs
        prepared = multiprocessing.spawn.get_preparation_data("child")
        assert "theirs" in prepared
        assert "conveyor_install" not in prepared
    finally:
        multiprocessing.queues.Queue, multiprocessing.spawn.get_preparation_data = originals  # type: ignore[misc]


def test_many_threads_install_and_uninstall(install: Callable[[], None]) -> None:
    before = fingerprint()
    start = threading.Barrier(8)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            start.wait()
            for _ in range(50):
                conveyor.install()
                mp.SimpleQueue().put(1)
                conveyor.uninstall()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert not conveyor.installed()
    assert fingerprint() == before


def test_a_fork_while_a_thread_installs_leaves_no_lock_behind(install: Callable[[], None]) -> None:
    lock = sys.modules["conveyor._install"]._lock
    answers = mp.get_context("fork").SimpleQueue()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with crew() as members:
        child = mp.get_context("fork").Process(target=install_and_report, args=(answers,))
        members.append(child)
        child.start()
        done.set()
        holder.join()
        assert answers.get() == (True, OURS)
        finish(child)


def install_and_report(answers: Any) -> None:
    conveyor.install()
    report(answers)


@pytest.mark.parametrize(
    "imports",
    [
        "import conveyor",
        "from conveyor import uninstall; import conveyor",
        "import conveyor._install; import conveyor",
        "from conveyor import install; import conveyor",
    ],
)
def test_install_can_be_called_however_it_was_imported(imports: str) -> None:
    code = f"{imports}\nconveyor.install()\nassert conveyor.installed()\nconveyor.uninstall()\nprint('well')"
    done = python(code)
    assert done.stdout == "well\n", done.stderr


# -- children -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_children_make_conveyors(method: str, install: Callable[[], None]) -> None:
    install()
    context = mp.get_context(method)
    answers = context.SimpleQueue()
    with crew() as members:
        child = context.Process(target=report, args=(answers,))
        members.append(child)
        child.start()
        assert answers.get() == (True, OURS)
        finish(child)


@pytest.mark.parametrize("first", METHODS)
@pytest.mark.parametrize("second", METHODS)
def test_grandchildren_make_conveyors(first: str, second: str, install: Callable[[], None]) -> None:
    # The standard library takes a fork server for its own that in truth its parent has started.
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
    install()
    answers = mp.get_context("spawn").SimpleQueue()
    report_deep(answers, [first, second])
    assert answers.get() == (True, OURS)


@pytest.mark.parametrize("method", METHODS)
def test_children_started_after_uninstall_are_as_before(method: str, install: Callable[[], None]) -> None:
    install()
    conveyor.uninstall()
    context = mp.get_context(method)
    answers = context.SimpleQueue()
    with crew() as members:
        child = context.Process(target=report, args=(answers,))
        members.append(child)
        child.start()
        assert answers.get() == (False, STANDARD)
        finish(child)


def test_a_fork_server_that_runs_already_gives_installed_children(install: Callable[[], None]) -> None:
    multiprocessing.forkserver.ensure_running()
    server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    context = mp.get_context("forkserver")
    bare = context.SimpleQueue()
    report_deep(bare, ["forkserver"])
    assert bare.get() == (False, STANDARD)
    install()
    answers = context.SimpleQueue()
    report_deep(answers, ["forkserver"])
    assert answers.get() == (True, OURS)
    assert multiprocessing.forkserver._forkserver._forkserver_pid == server  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_pool_make_conveyors(method: str, install: Callable[[], None]) -> None:
    install()
    with mp.get_context(method).Pool(2) as pool:
        assert isinstance(pool._inqueue, conveyor.Queue)  # type: ignore[attr-defined]
        assert set(pool.map(worker_report, range(4))) == {(True, OURS)}
        pool.close()
        pool.join()


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_an_executor_make_conveyors(method: str, install: Callable[[], None]) -> None:
    install()
    with ProcessPoolExecutor(2, mp_context=mp.get_context(method)) as executor:
        assert set(executor.map(worker_report, range(4))) == {(True, OURS)}
        assert isinstance(executor._call_queue, conveyor.Queue)  # type: ignore[attr-defined]
        assert type(executor._result_queue) is conveyor.SimpleQueue  # type: ignore[attr-defined]


IN_A_CHILD_THAT_CANNOT_FIND_IT = """
import sys
sys.path.insert(0, sys.argv[1])
import conveyor, multiprocessing as mp
conveyor.install()
context = mp.get_context(sys.argv[2])
queue = context.SimpleQueue()
code = "import conveyor; queue.put(conveyor.installed())"
child = context.Process(target=exec, args=(code, {"queue": queue}))
child.start()
print(queue.get())
child.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_child_finds_conveyor_where_its_parent_found_it(method: str) -> None:
    package = Path(conveyor.__file__).parent
    if Path(sys.modules["conveyor._native"].__file__ or "").parent != package:
        pytest.skip("an editable installation: the package lies in two places")
    # No site-packages, no PYTHONPATH, and children get the same flags: only sys.path leads there.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IN_A_CHILD_THAT_CANNOT_FIND_IT, str(package.parent), method],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr
