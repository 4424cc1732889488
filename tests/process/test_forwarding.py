"""`conveyor.multiprocessing` stands for `multiprocessing`: what is patched in the one is seen in the other.

And each name that it shows is one that `multiprocessing` shows, or conveyor's own.
"""

from __future__ import annotations

import importlib
import multiprocessing as standard
import multiprocessing.connection
import multiprocessing.context
import multiprocessing.pool
import multiprocessing.queues
import multiprocessing.synchronize
import pkgutil
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from helpers import METHODS, python

import conveyor
import conveyor.multiprocessing as multiprocessing

MADE_HERE = {
    *(
        "Array",
        "Barrier",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "JoinableQueue",
        "Lock",
        "Manager",
        "Pipe",
    ),
    *("Pool", "Queue", "RLock", "Semaphore", "SimpleQueue", "Value", "get_context"),
}
FORWARDED = sorted({*standard.__all__} - MADE_HERE)
LOCKS = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event")
WITH_CLASSES_OF_OURS = ("connection", "context", "pool", "queues", "synchronize")


@pytest.fixture(params=[False, True], ids=["", "installed"], autouse=True)
def installed(request: pytest.FixtureRequest) -> Iterator[None]:
    """All this holds after `conveyor.install()`, too."""
    if request.param:
        conveyor.install()
    yield
    conveyor.uninstall()


@pytest.mark.parametrize("name", FORWARDED)
@pytest.mark.parametrize(("one", "other"), [(standard, multiprocessing), (multiprocessing, standard)])
def test_what_is_patched_in_the_one_is_seen_in_the_other(one: Any, other: Any, name: str) -> None:
    before = getattr(standard, name)
    with mock.patch.object(one, name, "patched"):
        assert getattr(one, name) == getattr(other, name) == "patched"
    assert getattr(standard, name) == getattr(multiprocessing, name) == before
    assert name in vars(standard)
    assert name not in vars(multiprocessing)


def test_what_somebody_adds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "added", 1, raising=False)
    assert multiprocessing.added == 1  # type: ignore[attr-defined]
    monkeypatch.undo()
    assert not hasattr(multiprocessing, "added")


def test_what_is_ours_stays_ours() -> None:
    with mock.patch.object(multiprocessing, "Queue", "patched"):
        assert standard.Queue != "patched"
    assert type(multiprocessing.Queue()) is conveyor.Queue
    with mock.patch.object(standard, "Queue", "patched"):
        assert type(multiprocessing.Queue()) is conveyor.Queue


@pytest.mark.parametrize("submodule", WITH_CLASSES_OF_OURS)
def test_submodules_forward_too(submodule: str) -> None:
    ours, theirs = (
        importlib.import_module(f"{at}.{submodule}") for at in (multiprocessing.__name__, "multiprocessing")
    )
    forwarded = [name for name in vars(theirs) if not name.startswith("__") and name not in vars(ours)]
    assert forwarded
    for name in forwarded:
        for one in (ours, theirs):
            before = getattr(theirs, name)
            with mock.patch.object(one, name, "patched"):
                assert getattr(ours, name) == getattr(theirs, name) == "patched"
            assert getattr(ours, name) is getattr(theirs, name) is before
            assert name in vars(theirs)


@pytest.mark.parametrize("submodule", ["spawn", "process", "reduction", "util", "managers"])
def test_the_other_submodules_are_the_very_same(submodule: str) -> None:
    theirs = importlib.import_module(f"multiprocessing.{submodule}")
    assert getattr(multiprocessing, submodule) is theirs


def test_the_order_of_imports_does_not_matter() -> None:
    done = python("""
import multiprocessing.spawn
multiprocessing.freeze_support = multiprocessing.spawn.freeze_support = lambda: print("before")
import conveyor.multiprocessing as ours
from conveyor.multiprocessing import freeze_support
freeze_support()
ours.spawn.freeze_support()
multiprocessing.freeze_support = lambda: print("after")
ours.freeze_support()
""")
    assert done.stdout.split() == ["before", "before", "after"], done.stderr


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("method", [None, "default", *METHODS])
def test_locks_are_of_the_classes_of_their_module(name: str, method: str | None) -> None:
    made_by: Any = multiprocessing
    if method is not None:
        made_by = multiprocessing.get_context(None if method == "default" else method)
    made = getattr(made_by, name)()
    assert isinstance(made, getattr(multiprocessing.synchronize, name))
    assert type(made) is getattr(conveyor, name)
    assert isinstance(made_by.Barrier(2), multiprocessing.synchronize.Barrier)
    # As in the standard library.
    semaphore = multiprocessing.synchronize.Semaphore
    assert isinstance(made, semaphore) == name.endswith("Semaphore")


def test_a_star_imports_what_the_standard_librarys_does() -> None:
    for module in ("", ".connection", ".context", ".pool", ".queues", ".synchronize"):
        ours: dict[str, Any] = {}
        theirs: dict[str, Any] = {}
        exec(f"from conveyor.multiprocessing{module} import *", ours)
        exec(f"from multiprocessing{module} import *", theirs)
        assert ours.keys() >= theirs.keys()
        assert ours.keys() - theirs.keys() <= {
            "Context",
            *dir(importlib.import_module(f"multiprocessing{module}")),
        }


@pytest.mark.parametrize("submodule", ["", *WITH_CLASSES_OF_OURS])
def test_multiprocessings_modules_show_what_the_standard_librarys_show(submodule: str) -> None:
    suffix = submodule and f".{submodule}"
    ours, theirs = (
        importlib.import_module(f"{at}{suffix}") for at in (multiprocessing.__name__, "multiprocessing")
    )
    submodules = {name for _, name, _ in pkgutil.iter_modules(standard.__path__)}
    shown = {name for name in dir(ours) if not name.startswith("_")}
    extra = shown - set(dir(theirs)) - (set() if submodule else submodules)
    assert extra <= {"Context", "default_context"}, extra
    for name in ("annotations", "TYPE_CHECKING", "Any"):
        assert hasattr(ours, name) == hasattr(theirs, name)
