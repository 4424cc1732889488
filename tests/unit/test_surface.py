"""The whole surface of the running version's `multiprocessing`: each name is there, and takes what it takes there."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import multiprocessing.pool
import multiprocessing.queues
import multiprocessing.synchronize
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import conveyor.multiprocessing as ours

SUBMODULES = sorted(
    each.name
    for each in pkgutil.iter_modules(multiprocessing.__path__)
    if not each.ispkg and each.name not in ("popen_spawn_win32", "resource_tracker")
)


def theirs_and_ours() -> Iterator[tuple[str, Any, Any]]:
    """Every public function and class of the package, of its modules and of the contexts; by the path of its name."""
    places: list[tuple[str, Any, Any]] = [("multiprocessing", multiprocessing, ours)]
    for name in SUBMODULES:
        real = importlib.import_module(f"multiprocessing.{name}")
        places.append((name, real, importlib.import_module(f"conveyor.multiprocessing.{name}")))
    for method in multiprocessing.get_all_start_methods():
        places.append((f"{method} context", multiprocessing.get_context(method), ours.get_context(method)))
    for path, their, our in places:
        for name in sorted(dir(their)):
            if not name.startswith("_") and not inspect.ismodule(getattr(their, name)):
                yield f"{path}.{name}", getattr(their, name), getattr(our, name, None)


SURFACE = {path: (their, our) for path, their, our in theirs_and_ours()}
# What is another object with us: all else is the standard library's own, whatever its version has in it.
REPLACED = {path: pair for path, pair in SURFACE.items() if pair[0] is not pair[1] and callable(pair[0])}


def made(method: str = "fork") -> dict[str, tuple[Any, Any]]:
    """One of each that a context makes, the standard library's and ours."""
    contexts = multiprocessing.get_context(method), ours.get_context(method)
    makers = {
        **dict.fromkeys(("Queue", "JoinableQueue", "SimpleQueue", "Lock", "RLock", "Semaphore"), ()),
        **dict.fromkeys(("BoundedSemaphore", "Condition", "Event"), ()),
        "Barrier": (2,),
    }
    found = {name: tuple(getattr(one, name)(*words) for one in contexts) for name, words in makers.items()}
    found["Pipe"] = tuple(one.Pipe()[0] for one in contexts)
    return found  # type: ignore[return-value]


# It is made once, by its module: of ours there is nothing to give it.
UNMADE = {"context.DefaultContext"}

OBJECTS = made()
METHODS = [
    (name, method)
    for name, (their, _) in OBJECTS.items()
    for method in sorted(dir(their))
    if not method.startswith("_") and callable(getattr(their, method))
]


def differences(their: Any, our: Any) -> list[str]:
    """In what ours cannot be called as theirs is; what ours takes beyond that may only be optional."""
    try:
        wanted, found = inspect.signature(their), inspect.signature(our)
    except ValueError:
        return []  # of theirs, in C, that does not say
    said: list[str] = []
    taken = list(found.parameters.values())
    takes_any_words = any(each.kind is each.VAR_POSITIONAL for each in taken)
    takes_any_names = any(each.kind is each.VAR_KEYWORD for each in taken)
    for place, each in enumerate(wanted.parameters.values()):
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            kinds = [one.kind for one in taken]
            if each.kind not in kinds:
                said.append(f"no {each}")
            continue
        here = found.parameters.get(each.name)
        if here is None:
            if not (takes_any_names and takes_any_words):
                said.append(f"no parameter {each.name}")
            continue
        if each.kind is each.POSITIONAL_OR_KEYWORD and here.kind is here.POSITIONAL_ONLY:
            said.append(f"{each.name} by position only")
        if each.kind is each.POSITIONAL_OR_KEYWORD and (
            here.kind is here.KEYWORD_ONLY or taken.index(here) != place
        ):
            said.append(f"{each.name} in another place")
        if (each.default is each.empty) < (here.default is here.empty):
            said.append(f"{each.name} without a default")
        elif each.default is not each.empty and repr(each.default) != repr(here.default):
            said.append(f"{each.name}={here.default!r}, not {each.default!r}")
    more = [each for each in taken if each.name not in wanted.parameters and each.default is each.empty]
    said += [f"wants {each}" for each in more if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return said


def test_every_name_is_there() -> None:
    assert [path for path, (_, our) in SURFACE.items() if our is None and SURFACE[path][0] is not None] == []
    assert set(multiprocessing.__all__) <= set(ours.__all__)
    assert len(SURFACE) > 200


def test_what_is_ours_is_called_as_theirs() -> None:
    said = {path: differences(*pair) for path, pair in REPLACED.items() if path not in UNMADE}
    assert {path: each for path, each in said.items() if each} == {}
    assert {"multiprocessing.Queue", "multiprocessing.Pool", "fork context.Lock"} <= REPLACED.keys()


@pytest.mark.parametrize(("name", "method"), METHODS, ids=".".join)
def test_every_method_is_there_and_called_as_theirs(name: str, method: str) -> None:
    their, our = OBJECTS[name]
    assert callable(getattr(our, method, None)), f"{name} has no {method}"
    assert differences(getattr(their, method), getattr(our, method)) == []


def test_the_default_context_is_asked_for_when_it_is_needed() -> None:
    """Late versions find out then which start method is the default: with a temporary file, for the fork server."""
    program = """
import multiprocessing
before = "_default_context" in vars(multiprocessing.context._default_context)
import conveyor.multiprocessing
after = "_default_context" in vars(multiprocessing.context._default_context)
default = conveyor.multiprocessing.context.default_context
methods = default.get_all_start_methods()
assert methods == multiprocessing.get_all_start_methods(), methods
assert default._default_context is multiprocessing.context._default_context._default_context
conveyor.multiprocessing.freeze_support()
assert conveyor.multiprocessing.get_start_method(allow_none=True) is None
conveyor.multiprocessing.set_start_method("spawn")
assert multiprocessing.get_start_method() == default.get_start_method() == "spawn"
print(before, after)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split()
    assert before == after, "whether it is known already is the standard library's matter"
