"""Contexts that make conveyor's queues, pipes and locks, and are the standard library's in all else.

The start method has one truth, the standard library's default context: through whichever of the
two modules it is set, both tell the same.
"""

from __future__ import annotations

import multiprocessing.context as _stdlib
import typing as _typing

from ..queues.joinable_queue import JoinableQueue as _JoinableQueue
from ..queues.queue import Queue as _Queue
from ..queues.simple_queue import SimpleQueue as _SimpleQueue
from ..shared.barrier import Barrier as _Barrier
from ..shared.condition import Condition as _Condition
from ..shared.event import Event as _Event
from ..shared.locks import Lock as _Lock
from ..shared.locks import RLock as _RLock
from ..shared.semaphores import BoundedSemaphore as _BoundedSemaphore
from ..shared.semaphores import Semaphore as _Semaphore
from ._forwarding import forward as _forward

if _typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import (
        AuthenticationError,
        BaseContext,
        BufferTooShort,
        ForkProcess,
        ForkServerProcess,
        Process,
        ProcessError,
        SpawnProcess,
        TimeoutError,  # noqa: A004
    )

    from .._memory.devices import Cuda as _Cuda
    from ..queues.pipe import Connection
    from .pool import Pool as _Pool

__all__ = [
    "AuthenticationError",
    "BaseContext",
    "BufferTooShort",
    "Context",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "ProcessError",
    "SpawnContext",
    "SpawnProcess",
    "TimeoutError",
]

# The factories below return other classes than the standard library's of the same name, which have
# the same methods but are no subclasses of them: hence the overrides that type checkers are told to ignore.


class Context(_stdlib.BaseContext):
    """A context whose queues, pipes, pools and locks are conveyor's."""

    @_typing.overload  # type: ignore[override]
    def get_context(self, method: None = None) -> Context: ...
    @_typing.overload
    def get_context(self, method: _typing.Literal["fork"]) -> ForkContext: ...
    @_typing.overload
    def get_context(self, method: _typing.Literal["spawn"]) -> SpawnContext: ...
    @_typing.overload
    def get_context(self, method: _typing.Literal["forkserver"]) -> ForkServerContext: ...
    @_typing.overload
    def get_context(self, method: str) -> Context: ...

    def get_context(self, method: str | None = None) -> Context:  # pyright: ignore[reportIncompatibleMethodOverride]
        """This context, or that of a start method, by name.

        Raises:
            ValueError: there is no such start method.
        """
        return self._present() if method is None else _named(method)

    def _present(self) -> Context:
        return self

    def Queue(  # type: ignore[override]  # noqa: N802
        self, maxsize: int = 0, *, max_bytes: int | None = None, cuda: _Cuda | None = None
    ) -> _Queue[_typing.Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A `conveyor.Queue`."""
        return _Queue(maxsize, ctx=self.get_context(), max_bytes=max_bytes, cuda=cuda)

    def JoinableQueue(  # type: ignore[override]  # noqa: N802
        self, maxsize: int = 0, *, max_bytes: int | None = None, cuda: _Cuda | None = None
    ) -> _JoinableQueue[_typing.Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A `conveyor.JoinableQueue`."""
        return _JoinableQueue(maxsize, ctx=self.get_context(), max_bytes=max_bytes, cuda=cuda)

    def SimpleQueue(  # type: ignore[override]  # noqa: N802
        self, *, cuda: _Cuda | None = None
    ) -> _SimpleQueue[_typing.Any]:  # pyright: ignore
        """A `conveyor.SimpleQueue`."""
        return _SimpleQueue(ctx=self.get_context(), cuda=cuda)

    def Lock(self) -> _Lock:  # type: ignore[override]  # noqa: N802  # pyright: ignore
        """A `conveyor.Lock`."""
        return _Lock(ctx=self.get_context())

    def RLock(self) -> _RLock:  # type: ignore[override]  # noqa: N802  # pyright: ignore
        """A `conveyor.RLock`."""
        return _RLock(ctx=self.get_context())

    def Condition(self, lock: _typing.Any = None) -> _Condition:  # type: ignore[override]  # noqa: N802  # pyright: ignore
        """A `conveyor.Condition`."""
        return _Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> _Semaphore:  # type: ignore[override]  # noqa: N802  # pyright: ignore
        """A `conveyor.Semaphore`."""
        return _Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(  # type: ignore[override]  # noqa: N802
        self, value: int = 1
    ) -> _BoundedSemaphore:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A `conveyor.BoundedSemaphore`."""
        return _BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> _Event:  # type: ignore[override]  # noqa: N802  # pyright: ignore
        """A `conveyor.Event`."""
        return _Event(ctx=self.get_context())

    def Barrier(  # type: ignore[override]  # noqa: N802
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> _Barrier:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A `conveyor.Barrier`."""
        return _Barrier(parties, action, timeout, ctx=self.get_context())

    def Pipe(self, duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802
        """The two ends of a `conveyor.Pipe`."""
        from ..queues.pipe import Pipe

        return Pipe(duplex)

    def Pool(  # noqa: N802
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[_typing.Any] = (),
        maxtasksperchild: int | None = None,
    ) -> _Pool:
        """A process pool whose tasks and results travel through conveyor's queues."""
        from .pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def __reduce__(self) -> tuple[Callable[[str | None], Context], tuple[str | None]]:
        # By name, so that a context is the one of its kind wherever it arrives.
        return _named, (getattr(self, "_name", None),)


class ForkContext(Context, _stdlib.ForkContext):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The context of the start method 'fork'."""


class SpawnContext(Context, _stdlib.SpawnContext):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The context of the start method 'spawn'."""


class ForkServerContext(Context, _stdlib.ForkServerContext):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The context of the start method 'forkserver'."""


class DefaultContext(Context, _stdlib.DefaultContext):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The context behind the functions of `conveyor.multiprocessing`: that of the start method in force."""

    def __init__(self) -> None:
        # Nothing of its own: the standard library's default context keeps the start method.
        pass

    def _present(self) -> _typing.Any:
        return _ours(_stdlib_default.get_context())

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Set the start method, for the standard library's `multiprocessing` too.

        Raises:
            RuntimeError: it is set already, and `force` is not given.
        """
        _stdlib_default.set_start_method(method, force)

    def get_start_method(self, allow_none: bool = False) -> str:
        """The name of the start method; None if none is set yet and `allow_none` is given."""
        name: str = _stdlib_default.get_start_method(allow_none)
        return name

    # Where code that reaches for the standard library's attribute finds and sets the same.
    @property
    def _actual_context(self) -> _typing.Any:
        return _stdlib_default._actual_context

    @_actual_context.setter
    def _actual_context(self, context: _typing.Any) -> None:
        _stdlib_default._actual_context = context

    # Which one is the platform's, late versions of the standard library find out when they are first asked.
    @property
    def _default_context(self) -> _typing.Any:
        return _stdlib_default._default_context

    @_default_context.setter
    def _default_context(self, context: _typing.Any) -> None:
        _stdlib_default._default_context = context

    @_default_context.deleter
    def _default_context(self) -> None:
        del _stdlib_default._default_context


_stdlib_default: _typing.Any = _stdlib._default_context  # pyright: ignore[reportPrivateUsage]
_concrete_contexts: dict[str, Context] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}
default_context = _default_context = DefaultContext()


def _ours(context: _typing.Any) -> _typing.Any:
    # A start method that another library has added (loky does) has only that library's context.
    return _concrete_contexts.get(context._name, context)


def _named(name: str | None) -> _typing.Any:
    return default_context if name is None else _ours(_stdlib_default.get_context(name))


_forward(__name__, _stdlib)
