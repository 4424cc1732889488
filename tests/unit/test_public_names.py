"""What packages show (`dir`, `import *`) is what they are for, and nothing that they import for their own use."""

from __future__ import annotations

import importlib
import pickle
import pkgutil

import pytest

import conveyor
from conveyor._public import _FORMER

PUBLIC = sorted(
    name
    for _, name, is_package in pkgutil.walk_packages(conveyor.__path__, "conveyor.")
    if is_package
    and not any(part.startswith("_") for part in name.split("."))
    and name.split(".")[1] not in ("bench", "cli", "workers", "multiprocessing")
    and not name.startswith(("conveyor.pipeline.", "conveyor.transports."))
)


@pytest.mark.parametrize("name", ["conveyor", *PUBLIC])
def test_public_packages_show_what_is_theirs(name: str) -> None:
    module = importlib.import_module(name)
    shown = {each for each in dir(module) if not each.startswith("_")}
    assert shown == {each for each in module.__all__ if not each.startswith("_")}
    assert all(hasattr(module, each) for each in module.__all__)


@pytest.mark.parametrize("name", ["conveyor", "conveyor.pipeline", "conveyor.codecs", "conveyor.queues"])
def test_packages_have_nothing_else_either(name: str) -> None:
    module = importlib.import_module(name)
    assert not [
        each for each in ("annotations", "TYPE_CHECKING", "Any", "lazy", "sys") if hasattr(module, each)
    ]


@pytest.mark.parametrize("name", sorted(_FORMER))
def test_former_modules_are_still_there(name: str) -> None:
    now, names = _FORMER[name]
    former = importlib.import_module(f"conveyor.{name}")
    parent, _, last = f"conveyor.{name}".rpartition(".")
    assert getattr(importlib.import_module(parent), last) is former
    for each in names.split():
        assert getattr(former, each) is getattr(importlib.import_module(f"conveyor.{now}"), each)
        # As pickles of that time have it.
        assert pickle.loads(f"cconveyor.{name}\n{each}\n.".encode()) is getattr(former, each)
    assert not hasattr(former, "sys")


def test_classes_say_that_they_are_of_the_package() -> None:
    own = ("conveyor.queues.", "conveyor.topics.", "conveyor.shared.", "conveyor._memory.")
    classes = [cls for name in conveyor.__all__ if isinstance(cls := getattr(conveyor, name), type)]
    assert not [cls for cls in classes if cls.__module__.startswith(own)]
    assert all(pickle.loads(pickle.dumps(cls)) is cls for cls in classes)


def test_the_error_of_a_broken_pool_has_its_former_name_too() -> None:
    with pytest.warns(DeprecationWarning, match="WorkerPoolBroken") as told:
        from conveyor.errors import WorkersLost
    assert WorkersLost is conveyor.WorkerPoolBroken
    assert told[0].filename == __file__
    vars(conveyor).pop("WorkersLost", None)  # else it was asked for before
    with pytest.warns(DeprecationWarning, match="former name") as told:
        assert conveyor.WorkersLost is WorkersLost
    assert told[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="former name"):
        assert pickle.loads(b"cconveyor.errors\nWorkersLost\n.") is WorkersLost
