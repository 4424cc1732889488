"""`import conveyor.multiprocessing as multiprocessing`: the whole module, with conveyor's queues in it."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing as standard
import multiprocessing.connection
import multiprocessing.context
import multiprocessing.pool
import multiprocessing.queues
import pickle
import pkgutil
from typing import Any

import pytest
from helpers import METHODS, crew, finish, python

import conveyor
import conveyor.multiprocessing as multiprocessing
from conveyor.queues.pipe import Connection

FACTORIES = {
    "Queue": conveyor.Queue,
    "JoinableQueue": conveyor.JoinableQueue,
    "SimpleQueue": conveyor.SimpleQueue,
}
WITH_CLASSES_OF_OURS = ("connection", "context", "pool", "queues", "synchronize")
SUBMODULES = sorted(
    name
    for _, name, _ in pkgutil.iter_modules(standard.__path__)
    if "win32" not in name and not name.startswith("_")
)


def make_with(made_by: Any, answers: Any) -> None:
    """What a context that came through a pickle makes."""
    queue = made_by.Queue()
    queue.put(1)
    answers.put((type(queue).__module__, queue.get(), made_by is multiprocessing.get_context(made_by._name)))


def start_method_here(answers: Any) -> None:
    answers.put((multiprocessing.get_start_method(), standard.get_start_method()))


# -- the module is whole ------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    assert set(multiprocessing.__all__) == set(standard.__all__)
    assert set(dir(standard)) <= set(dir(multiprocessing)) | {"_stdlib"}
    everything: dict[str, Any] = {}
    exec("from conveyor.multiprocessing import *", everything)
    assert set(standard.__all__) <= set(everything)


def test_what_is_no_queue_is_the_very_same() -> None:
    for name in (
        "Process",
        "current_process",
        "parent_process",
        "active_children",
        "ProcessError",
        "TimeoutError",
    ):
        assert getattr(multiprocessing, name) is getattr(standard, name)
    assert multiprocessing.reducer is standard.reducer
    assert multiprocessing.SUBDEBUG == standard.SUBDEBUG  # type: ignore[attr-defined]


def test_the_functions_take_what_the_standard_librarys_take() -> None:
    for name in standard.__all__:
        theirs = getattr(standard, name)
        if not inspect.ismethod(theirs):
            continue
        expected = inspect.signature(theirs).parameters
        ours = inspect.signature(getattr(multiprocessing, name)).parameters
        assert list(ours)[: len(expected)] == list(expected), name
        for parameter in expected:
            assert ours[parameter].default == expected[parameter].default, (name, parameter)
            assert ours[parameter].kind == expected[parameter].kind, (name, parameter)


def test_the_standard_library_is_left_alone() -> None:
    assert not conveyor.installed()
    for name in FACTORIES:
        assert type(getattr(standard, name)()).__module__ == "multiprocessing.queues"
        assert getattr(standard.get_context("spawn"), name)().__module__ == "multiprocessing.queues"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        multiprocessing.nonsense  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        exec("from conveyor.multiprocessing import nonsense")


@pytest.mark.parametrize("name", SUBMODULES)
def test_every_submodule_is_there(name: str) -> None:
    imported = importlib.import_module(f"conveyor.multiprocessing.{name}")
    theirs = importlib.import_module(f"multiprocessing.{name}")
    assert getattr(multiprocessing, name) is imported
    if name in WITH_CLASSES_OF_OURS:
        assert all(hasattr(imported, member) for member in vars(theirs) if not member.startswith("__"))
        assert set(dir(theirs)) <= set(dir(imported))
        assert set(getattr(theirs, "__all__", ())) <= set(imported.__all__) | {"__all__"}
    else:
        assert imported is theirs


def test_submodules_come_when_they_are_asked_for() -> None:
    code = """
import conveyor.multiprocessing as multiprocessing
print(multiprocessing.connection.wait.__name__, multiprocessing.pool.ThreadPool.__name__,
      multiprocessing.shared_memory.SharedMemory.__name__, multiprocessing.managers.SyncManager.__name__,
      multiprocessing.queues.Queue.__module__, multiprocessing.dummy.connection.Pipe.__name__)
"""
    done = python(code)
    assert done.stdout == "wait ThreadPool SharedMemory SyncManager conveyor Pipe\n", done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "from conveyor.multiprocessing.queues import Empty, Full, JoinableQueue, Queue, SimpleQueue",
        "from conveyor.multiprocessing.connection import Client, Connection, Listener, Pipe, wait",
        "from conveyor.multiprocessing.pool import AsyncResult, Pool, ThreadPool",
        "from conveyor.multiprocessing.shared_memory import ShareableList, SharedMemory",
        "from conveyor.multiprocessing.managers import BaseManager, SyncManager",
        "from conveyor.multiprocessing.context import BaseContext, get_spawning_popen, assert_spawning",
        "import conveyor.multiprocessing.dummy.connection as one, multiprocessing.dummy.connection as two; "
        "assert one is two",
    ],
)
def test_import_statements_work_with_the_name_changed(statement: str) -> None:
    done = python(statement)
    assert done.returncode == 0, done.stderr


def test_the_module_of_queues_has_the_classes() -> None:
    assert multiprocessing.queues.Queue is conveyor.Queue
    made = multiprocessing.queues.Queue(3, ctx=standard.get_context("spawn"))
    assert isinstance(made, multiprocessing.queues.Queue)
    assert isinstance(multiprocessing.JoinableQueue(), multiprocessing.queues.Queue)
    assert not isinstance(multiprocessing.SimpleQueue(), multiprocessing.queues.Queue)
    assert multiprocessing.queues.Queue[int] is not None
    assert multiprocessing.queues.Empty is standard.queues.Empty  # type: ignore[attr-defined]


# -- contexts -----------------------------------------------------------------------------------------


def test_contexts_make_conveyors(context: Any) -> None:
    for name, cls in FACTORIES.items():
        assert type(getattr(context, name)()) is cls
    one, other = context.Pipe()
    with one, other:
        assert type(one) is Connection
        assert isinstance(one, multiprocessing.connection.Connection)
        assert isinstance(one, standard.connection.Connection)
    assert context.Queue(2, max_bytes=10)._maxsize == 2


@pytest.mark.parametrize("method", METHODS)
def test_contexts_are_contexts(method: str) -> None:
    context = multiprocessing.get_context(method)
    theirs = standard.get_context(method)
    assert isinstance(context, type(theirs))
    assert isinstance(context, standard.context.BaseContext)
    assert context is multiprocessing.get_context(method)
    assert context.get_context() is context
    assert context.get_start_method() == method
    assert context.Process is theirs.Process
    for other in METHODS:
        assert context.get_context(other) is multiprocessing.get_context(other)
    with pytest.raises(ValueError, match="cannot set start method"):
        context.set_start_method("spawn")


def test_an_unknown_start_method_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot find context for 'nonsense'"):
        multiprocessing.get_context("nonsense")
    with pytest.raises(ValueError, match="cannot find context for 'nonsense'"):
        multiprocessing.get_context("spawn").get_context("nonsense")


def test_a_start_method_of_another_library_is_that_librarys(
    monkeypatch: pytest.MonkeyPatch, start_method: None
) -> None:
    class Foreign(standard.context.BaseContext):
        _name = "foreign"

    foreign = Foreign()
    monkeypatch.setitem(standard.context._concrete_contexts, "foreign", foreign)  # type: ignore[attr-defined]
    assert multiprocessing.get_context("foreign") is foreign  # type: ignore[comparison-overlap]
    multiprocessing.set_start_method("foreign", force=True)
    assert multiprocessing.get_context() is foreign  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_contexts_can_be_pickled(context: Any, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(context, protocol)) is context
    default = multiprocessing.context._default_context
    assert pickle.loads(pickle.dumps(default, protocol)) is default
    assert pickle.loads(pickle.dumps(multiprocessing.Queue, protocol)) == multiprocessing.Queue


def test_a_context_goes_to_a_child(context: Any) -> None:
    answers = context.SimpleQueue()
    with crew() as members:
        child = context.Process(target=make_with, args=(context, answers))
        members.append(child)
        child.start()
        assert answers.get() == ("conveyor", 1, True)
        finish(child)


# -- the start method has one truth -------------------------------------------------------------------


@pytest.mark.parametrize(("setter", "getter"), [(standard, multiprocessing), (multiprocessing, standard)])
@pytest.mark.parametrize("method", METHODS)
def test_both_modules_share_the_start_method(
    setter: Any, getter: Any, method: str, start_method: None
) -> None:
    setter.set_start_method(None, force=True)
    assert getter.get_start_method(allow_none=True) is None
    setter.set_start_method(method)
    assert getter.get_start_method() == setter.get_start_method() == method
    assert multiprocessing.get_context() is multiprocessing.get_context(method)
    assert standard.get_context() is standard.get_context(method)
    with pytest.raises(RuntimeError, match="context has already been set"):
        getter.set_start_method(method)
    assert multiprocessing.get_all_start_methods() == standard.get_all_start_methods()


@pytest.mark.parametrize("method", METHODS)
def test_a_child_knows_the_start_method(method: str, start_method: None) -> None:
    multiprocessing.set_start_method(method, force=True)
    answers = multiprocessing.SimpleQueue()
    with crew() as members:
        child = multiprocessing.Process(target=start_method_here, args=(answers,))
        members.append(child)
        child.start()
        assert answers.get() == (method, method)
        finish(child)
