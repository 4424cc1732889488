"""install: make every library that uses `multiprocessing`'s queues use conveyor's, in children too.

What the standard library's factories (`multiprocessing.Queue()`, a context's `Queue()`, `Pool`,
`ProcessPoolExecutor`) make, they look up in `multiprocessing.queues` and `multiprocessing.connection`
at each call: there conveyor's are put. Code that took the classes themselves from there before, to
subclass them say, keeps what it took, and that works on beside ours.

A forked child inherits all this. To a spawned one, or one from a fork server, the order to install
travels at the head of what it is sent, so that it is carried out before anything of the program's.
"""

from __future__ import annotations

import copyreg
import importlib
import multiprocessing.connection
import multiprocessing.queues
import multiprocessing.spawn
import os
import sys
import threading
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .joinable_queue import JoinableQueue
from .pipe import Pipe
from .queue import Queue
from .simple_queue import SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["install", "installed", "uninstall"]

_QUEUES: dict[str, Any] = {"Queue": Queue, "JoinableQueue": JoinableQueue, "SimpleQueue": SimpleQueue}
_EXECUTOR_MODULE = "concurrent.futures.process"

# Any: the checkers know nothing of the private names below.
_queues: Any = multiprocessing.queues
_spawn: Any = multiprocessing.spawn
_pickler: Any = ForkingPickler


@dataclass(frozen=True)
class _Change:
    """One attribute of a module or class, before and after."""

    owner: Any
    name: str
    before: Any
    after: Any

    def make(self) -> None:
        setattr(self.owner, self.name, self.after)

    def undo(self) -> None:
        # What somebody else has put there since is theirs.
        if vars(self.owner)[self.name] is self.after:
            setattr(self.owner, self.name, self.before)


_lock = threading.Lock()
_changes: list[_Change] = []  # empty: not installed

# A child forked while another thread was in here has no such thread.
os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]  # pyright: ignore


def install() -> None:
    """Make the standard library's `multiprocessing` make conveyor's queues and pipes.

    Holds for this process and for the children it starts from now on, of any start method, and for
    theirs. Queues made before go on to work as what they are. Idempotent, and safe from any thread.
    Install before libraries are imported that subclass `multiprocessing.queues.Queue`, if theirs are
    to be on conveyor's too; and after those that depend on the inside of it (loky does).
    """
    with _lock:
        if _changes:
            return
        changes = [
            *_standalone_changes(),
            *(_Change(_queues, name, getattr(_queues, name), ours) for name, ours in _QUEUES.items()),
            _Change(multiprocessing.connection, "Pipe", multiprocessing.connection.Pipe, Pipe),
            _Change(_spawn, "get_preparation_data", *_preparation(_spawn.get_preparation_data)),
            *_executor_changes(Queue),
        ]
        for name in _QUEUES:
            _pickler.register(getattr(_queues, name), _reduce_standard)
        for change in changes:
            if change.name == "_SafeQueue":
                _pickler.register(change.before, _reduce_standard)
            change.make()
        _changes.extend(changes)


def uninstall() -> None:
    """Put the standard library's own queues and pipes back in their places.

    Holds for this process and the children it starts from now on. Queues that were made in between
    go on to work. Idempotent, and safe from any thread.
    """
    with _lock:
        for change in reversed(_changes):
            change.undo()
            if change.name in _QUEUES or change.name == "_SafeQueue":
                _pickler._extra_reducers.pop(change.before, None)
        _changes.clear()
        # The executor's module may have been imported in between, and be built on ours.
        for change in _executor_changes(_queues.Queue):
            change.make()


def installed() -> bool:
    """Whether `install` is in force in this process."""
    return bool(_changes)


# -- children that are not forked -----------------------------------------------------------------------

_IN_CHILD = """
import sys
sys.path[:] = path
import conveyor
conveyor.install()
"""


class _InstallInChild:
    """Unpickling this, with nothing but builtins, installs conveyor."""

    def __init__(self, path: list[str]) -> None:
        # The parent's sys.path, which the child takes over anyway as soon as it has read all of this.
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, dict[str, Any]]]:
        return exec, (_IN_CHILD, {"path": self._path})


def _preparation(
    original: Callable[[str], dict[str, Any]],
) -> tuple[Callable[[str], dict[str, Any]], Callable[[str], dict[str, Any]]]:
    def get_preparation_data(name: str) -> dict[str, Any]:
        # The child unpickles this dictionary before anything else, and passes over unknown keys.
        data = original(name)
        if not _changes:  # uninstalled, but somebody has wrapped this function and calls it still
            return data
        return {"conveyor_install": _InstallInChild(data.get("sys_path", sys.path)), **data}

    return original, get_preparation_data


# -- what others hold of the standard library's classes -------------------------------------------------


def _standalone_changes() -> list[_Change]:
    """Make the standard library's queue classes independent of the names they are found by.

    `JoinableQueue.__init__` and `Queue._start_thread`, among others, look `Queue` up in their module,
    and would find ours there. Queues that exist already and subclasses that others made need them.
    """
    own_names = dict(vars(_queues))
    changes: list[_Change] = []
    for owner in (_queues.Queue, _queues.JoinableQueue, _queues.SimpleQueue):
        for name, member in vars(owner).items():
            function = getattr(member, "__func__", member)
            if not isinstance(function, FunctionType) or _QUEUES.keys().isdisjoint(
                function.__code__.co_names
            ):
                continue
            copy: Any = _copied(function, own_names, {})
            changes.append(_Change(owner, name, member, copy if function is member else type(member)(copy)))
    return changes


def _reduce_standard(queue: Any) -> tuple[Callable[..., Any], tuple[str, Any]]:
    # A class is pickled by its name, and under that name there is another one now.
    name = next(
        name for name in ("JoinableQueue", "Queue", "SimpleQueue") if isinstance(queue, _standard(name))
    )
    return _rebuild_standard, (name, queue.__getstate__())


def _rebuild_standard(name: str, state: Any) -> Any:
    cls = _standard(name)
    queue = cls.__new__(cls)
    queue.__setstate__(state)
    return queue


def _standard(name: str) -> Any:
    for change in list(_changes):
        if change.owner is _queues and change.name == name:
            return change.before
    return getattr(_queues, name)


# -- concurrent.futures ---------------------------------------------------------------------------------


def _executor_changes(base: Any) -> list[_Change]:
    """Put `_SafeQueue`, which subclasses `Queue` when its module is imported, on another base."""
    if _EXECUTOR_MODULE not in sys.modules:
        return []  # whoever imports it finds the right Queue
    executor: Any = importlib.import_module(_EXECUTOR_MODULE)  # waits, if another thread is just importing it
    safe_queue = getattr(executor, "_SafeQueue", None)
    if safe_queue is None or issubclass(safe_queue, base):
        return []
    if issubclass(safe_queue, Queue):
        # Executors that run on need it, and it will not be found by its name.
        _pickler.register(safe_queue, _reduce_as_queue)
    return [
        _Change(executor, "Queue", executor.Queue, base),
        _Change(executor, "_SafeQueue", safe_queue, _on_base(safe_queue, base)),
    ]


def _reduce_as_queue(queue: Any) -> tuple[Any, ...]:
    # Only the process that made it needs what the subclass adds.
    return copyreg.__newobj__, (Queue,), queue.__getstate__()  # type: ignore[attr-defined]


def _on_base(cls: type, base: type) -> type:
    """The same class statement over another base."""
    this_class = CellType()  # what super() without arguments refers to
    namespace = {
        name: _copied(member, member.__globals__, {"__class__": this_class})
        if isinstance(member, FunctionType)
        else member
        for name, member in vars(cls).items()
        if name not in ("__dict__", "__weakref__")
    }
    rebuilt = type(cls.__name__, (base,), {**namespace, "__qualname__": cls.__qualname__})
    this_class.cell_contents = rebuilt
    return rebuilt


def _copied(function: FunctionType, names: dict[str, Any], cells: Mapping[str, CellType]) -> FunctionType:
    """The same function with other globals, and other cells under the given names."""
    variables = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = tuple(cells.get(name, cell) for name, cell in variables)
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    copy.__annotations__ = function.__annotations__
    copy.__dict__.update(function.__dict__)
    return copy


class _CallableModule(ModuleType):
    # Importing this module sets `conveyor.install` to it, over the function of that name.
    def __call__(self) -> None:
        install()


sys.modules[__name__].__class__ = _CallableModule
