"""install: make every library that uses `multiprocessing`'s queues use conveyor's, in children too.

What the standard library's factories (`multiprocessing.Queue()`, a context's `Queue()`, `Pool`,
`ProcessPoolExecutor`) make, they look up in `multiprocessing.queues` and `multiprocessing.connection`
at each call: there conveyor's are put. Code that took the classes themselves from there before, to
subclass them say, keeps what it took, and that works on beside ours.

A forked child inherits all this. To a spawned one, or one from a fork server, the order to install
travels at the head of what it is sent, so that it is carried out before anything of the program's.
"""

from __future__ import annotations

import importlib
import multiprocessing.connection
import multiprocessing.queues
import multiprocessing.spawn
import os
import sys
import threading
from dataclasses import dataclass
from types import CellType, FunctionType, ModuleType, new_class
from typing import TYPE_CHECKING, Any, cast

from ._memory.devices import Cuda, copies_devices, set_default
from .queues.joinable_queue import JoinableQueue
from .queues.pipe import Pipe
from .queues.queue import Queue
from .queues.simple_queue import SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.machinery import ModuleSpec

__all__ = ["install", "installed", "uninstall"]

_QUEUES: dict[str, Any] = {"Queue": Queue, "JoinableQueue": JoinableQueue, "SimpleQueue": SimpleQueue}
_EXECUTOR_MODULE = "concurrent.futures.process"
_POOL_MODULE = "multiprocessing.pool"

# Any: the checkers know nothing of the private names below.
_queues = cast("Any", multiprocessing.queues)
_spawn = cast("Any", multiprocessing.spawn)
_STANDARD: dict[str, Any] = {name: getattr(_queues, name) for name in _QUEUES}
_ABSENT: Any = object()


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
        if self.owner.__dict__.get(self.name) is not self.after:
            return
        if self.before is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.before)


_lock = threading.Lock()
_changes: list[_Change] = []  # empty: not installed

# A child forked while another thread was in here has no such thread.
os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]  # pyright: ignore


def install(*, cuda: Cuda | None = None) -> None:
    """Make the standard library's `multiprocessing` make conveyor's queues and pipes.

    Holds for this process and for the children it starts from now on, of any start method, and for
    theirs. Queues made before go on to work as what they are. Idempotent, and safe from any thread.
    A library that subclasses `multiprocessing.queues.Queue` uses conveyor's if it is imported later.

    Args:
        cuda: how tensors on a GPU travel through queues that are made without saying it, see `Queue`, here and in the
            children; None: as before, which is "share" at first.

    Raises:
        ValueError: `cuda` is not one of these.
    """
    with _lock:
        if cuda is not None:
            set_default(cuda)
        if _changes:
            return
        changes = [
            *_standalone_changes(),
            *(_Change(_queues, name, getattr(_queues, name), ours) for name, ours in _QUEUES.items()),
            _Change(multiprocessing.connection, "Pipe", multiprocessing.connection.Pipe, Pipe),
            _Change(_spawn, "get_preparation_data", *_preparation(_spawn.get_preparation_data)),
            *_executor_changes(_QUEUES),
            *_pool_changes(),
        ]
        for change in changes:
            change.make()
        sys.meta_path.insert(0, _on_standard_library)
        _changes.extend(changes)


def uninstall() -> None:
    """Put the standard library's own queues and pipes back in their places.

    Holds for this process and the children it starts from now on. Queues that were made in between
    go on to work. Idempotent, and safe from any thread.
    """
    with _lock:
        for change in reversed(_changes):
            change.undo()
        _changes.clear()
        set_default(None)
        if _on_standard_library in sys.meta_path:
            sys.meta_path.remove(_on_standard_library)
        # The executor's module may have been imported in between, and be built on ours.
        for change in _executor_changes(_STANDARD):
            change.make()


def installed() -> bool:
    """Whether `install` is in force in this process."""
    return bool(_changes)


# -- children that are not forked -----------------------------------------------------------------------

_IN_CHILD = """
import sys
sys.path[:] = path
import conveyor
conveyor.install(cuda=cuda)
"""


class _InstallInChild:
    """Unpickling this, with nothing but builtins, installs conveyor."""

    def __init__(self, path: list[str]) -> None:
        # The parent's sys.path, which the child takes over anyway as soon as it has read all of this.
        self._path = path
        self._cuda = "copy" if copies_devices(None) else "share"

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, dict[str, Any]]]:
        return exec, (_IN_CHILD, {"path": self._path, "cuda": self._cuda})


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
    own_names: dict[str, Any] = dict(_queues.__dict__)
    changes: list[_Change] = []
    for owner in _STANDARD.values():
        members: dict[str, Any] = dict(owner.__dict__)
        for name, member in members.items():
            function = getattr(member, "__func__", member)
            if not isinstance(function, FunctionType) or _QUEUES.keys().isdisjoint(
                function.__code__.co_names
            ):
                continue
            copy: Any = _copied(function, own_names, {})
            changes.append(_Change(owner, name, member, copy if function is member else type(member)(copy)))
        if owner is not _STANDARD["JoinableQueue"]:  # that inherits it
            changes.append(_Change(owner, "__reduce_ex__", _ABSENT, _reduce_standard))
    return changes


def _reduce_standard(queue: Any, protocol: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    # A class is pickled by its name, under which the child, which installs before it imports anything,
    # has another class, or one of the same definition on another base.
    cls: Any = queue.__class__
    standard = next(
        name for name in ("JoinableQueue", "Queue", "SimpleQueue") if _STANDARD[name] in cls.__mro__
    )
    by_name = getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls
    return _rebuild_standard, (standard, cls if by_name else None, queue.__getstate__())


def _rebuild_standard(standard: str, cls: Any, state: Any) -> Any:
    queue_class = _STANDARD[standard] if cls is None else _on_bases(cls, _STANDARD)
    queue = queue_class.__new__(queue_class)
    queue.__setstate__(state)
    return queue


def _reduce_as_queue(queue: Any, protocol: Any) -> tuple[Callable[..., Any], tuple[Any]]:
    # For an executor that runs on after `uninstall` and gives its queue to new workers, when the class
    # is no longer found by its name. What it adds to Queue, only the process that made it needs.
    return _rebuild_as_queue, (queue.__getstate__(),)


def _rebuild_as_queue(state: Any) -> Any:
    queue_class = _QUEUES["Queue"]
    queue = queue_class.__new__(queue_class)
    queue.__setstate__(state)
    return queue


# -- the same class on another base -----------------------------------------------------------------------


def _on_bases(cls: Any, queues: Mapping[str, Any]) -> Any:
    """The class as if `queues` had been in place when it was defined."""
    for name, other in (*_QUEUES.items(), *_STANDARD.items()):
        if cls is other:
            return queues[name]
    bases = tuple(_on_bases(base, queues) for base in cls.__bases__)
    return cls if bases == cls.__bases__ else _redefined(cls, bases)


def _redefined(cls: type, bases: tuple[type, ...]) -> Any:
    this_class = CellType()  # what super() without arguments refers to
    namespace: dict[str, Any] = {"__qualname__": cls.__qualname__}
    for name, member in vars(cls).items():
        if isinstance(member, FunctionType):
            namespace[name] = _copied(member, member.__globals__, {"__class__": this_class})
        elif name not in ("__dict__", "__weakref__"):
            namespace[name] = member
    redefined = new_class(cls.__name__, bases, exec_body=lambda body: body.update(namespace))
    this_class.cell_contents = redefined
    return redefined


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


# -- concurrent.futures -----------------------------------------------------------------------------------


def _executor_changes(queues: Mapping[str, Any]) -> list[_Change]:
    """Put `_SafeQueue`, which subclasses `Queue` when its module is imported, on another base."""
    if _EXECUTOR_MODULE not in sys.modules:
        return []  # a module that imports it finds the right Queue
    executor = cast("Any", importlib.import_module(_EXECUTOR_MODULE))  # waits, if it is just being imported
    safe_queue = getattr(executor, "_SafeQueue", None)
    if safe_queue is None or queues["Queue"] in safe_queue.__mro__:
        return []
    other = _on_bases(safe_queue, queues)
    for cls in (safe_queue, other):
        if Queue in cls.__mro__:
            cls.__reduce_ex__ = _reduce_as_queue
    return [
        _Change(executor, "Queue", executor.Queue, queues["Queue"]),
        _Change(executor, "_SafeQueue", safe_queue, other),
    ]


def _pool_changes() -> list[_Change]:
    """Have the standard library's `Pool` survive its workers, as `conveyor.multiprocessing.Pool` does."""
    if _POOL_MODULE not in sys.modules:
        return []  # that is for when it is imported
    standard = cast("Any", importlib.import_module(_POOL_MODULE)).Pool
    before = standard._help_stuff_finish

    def help_task_handler(inqueue: Any, *rest: Any) -> None:
        # A pool that was made before has the standard library's queues.
        helps = _pool_parts().help_task_handler if isinstance(inqueue, Queue) else before
        helps(inqueue, *rest)

    def set_up_queues(pool: Any) -> None:
        _pool_parts().set_up_queues(pool)

    def make_worker(*args: Any, **kwds: Any) -> Any:
        return _pool_parts().make_worker(*args, **kwds)

    changed: dict[str, Any] = {
        "_setup_queues": set_up_queues,
        "_help_stuff_finish": staticmethod(help_task_handler),
        "Process": staticmethod(make_worker),
    }
    return [_Change(standard, name, vars(standard)[name], after) for name, after in changed.items()]


def _pool_parts() -> Any:
    # When a pool is made: it is above here, and may be what imports the standard library's just now.
    return importlib.import_module(f"{__package__}.multiprocessing._pool_parts")


# -- libraries that live inside the standard library's classes ------------------------------------------

# They replace the pipes in those, or how they are pickled and fed: nothing but the originals will do.
_INSIDERS = (
    "loky.backend.queues",
    "joblib.externals.loky.backend.queues",
    "torch.multiprocessing.queue",
)


class _OnStandardLibrary:
    """A finder for what is imported later: gives such a library the standard library's classes, and `Pool` ours."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in _INSIDERS and name != _POOL_MODULE:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == _POOL_MODULE:
                sys.modules[_POOL_MODULE] = module
                for change in _pool_changes() if _changes else ():
                    change.make()
                    _changes.append(change)
                return
            for name, member in list(vars(module).items()):
                if isinstance(member, type):
                    setattr(module, name, _on_bases(member, _STANDARD))

        loader.exec_module = exec_module


_on_standard_library = _OnStandardLibrary()
