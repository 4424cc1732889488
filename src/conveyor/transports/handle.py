"""What the handles of queues and topics on brokers have in common."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Self, TypeVar

from .._memory.producing import Producing
from ..errors import NotSupported
from .control import Control
from .link import NEVER, Healing, Link
from .payload import Payload
from .port import Connection, ConnectionLost, Settings
from .url import Url

__all__ = ["Handle", "Options", "handles"]

C = TypeVar("C", bound=Connection)
R = TypeVar("R")

# Stands for this process: what lives in one alone is known by it in pickles.
_process = os.urandom(16)


@dataclass(frozen=True, slots=True)
class Options:
    """What a handle is made of; it travels in pickles."""

    url: Url
    make: Callable[[Url], Any]
    """The transport's function: the backend at a URL."""
    create: bool | None
    settings: Settings
    """Wanted, if the queue is made now."""
    payload: Payload
    dead_letters: Any = None


class Handle(Generic[C]):
    """A queue or topic on a broker, as one process uses it.

    It connects when it is made, again when the connection was lost, and anew in a forked child and where it was
    unpickled. Any thread may use it.
    """

    _what = "queue"

    def __init__(self, options: Options) -> None:
        self._attach(options)
        self._link.open()

    def _attach(self, options: Options) -> None:
        self._options = options
        self._payload = options.payload
        self._create = options.create
        self._shown = str(options.url)
        self._is_closed = False
        self._settings = options.settings
        # What the link calls must not keep the handle alive.
        this = weakref.ref(self)
        self._link: Link[C] = Link(options.url, partial(options.make, options.url), partial(_declare, this))
        self._control: Control[C] = Control(self._link, self._what, self._shown)
        self._born = _process
        self.epoch = 0
        self._start()
        self._finalizer = weakref.finalize(self, _close, self._link)
        _handles.add(self)

    def _start(self) -> None:
        """Make what belongs to one process: when it is new, and in a forked child."""

    def _forked(self) -> None:
        self.epoch += 1
        backend = self._link.backend
        if backend is not None and backend.capabilities.process_only:
            self._link.refuse(_elsewhere(self._options.url))
        self._link.abandon()
        self._control.forked()
        self._start()

    def _joined(self, backend: C) -> None:
        # Called whenever a connection stands.
        self._settings = self._control.join(backend, self._create, self._wanted(backend))
        self._create = False  # when it is gone after a reconnection, what was in it is gone: that is an error
        backend.declare(self._settings)

    def _wanted(self, backend: C) -> Settings:
        return replace(self._options.settings, extra=dict(backend.settings()))

    def _call(self, do: Callable[[C], R], deadline: float = NEVER) -> R:
        """What `do` returns of the backend, healed."""
        link = self._link
        healing: Healing | None = None
        while True:
            backend = link.backend or link.open(deadline)
            generation = link.generation
            try:
                return do(backend)
            except ConnectionLost as error:
                healing = healing or link.healing(deadline)
                healing.after(generation, error)

    # -- ending, for all processes

    @property
    def is_shutdown(self) -> bool:
        """Whether it was shut down, or has ended by itself."""
        return self._call(self._control.read).ended

    def expect_producers(self, n: int) -> None:
        """Say how many `producing()` blocks must still be entered before it may end by itself.

        As of `conveyor.Queue`, for producers on all machines.
        """
        self._control.expect(n)

    def producing(self) -> Producing[Self]:
        """A block that counts as a producer: when the last one is left, it shuts down by itself.

        As of `conveyor.Queue`, for producers on all machines. A process that dies inside, or that cannot reach the
        broker for that long, is noticed within `LOST_SECONDS` by those that wait for an item.
        """
        return Producing(self)

    @property
    def _identity(self) -> tuple[int, int]:
        url = self._options.url
        return hash((url.scheme, url.hosts, url.path)), hash((self._what, url.name))

    def _enter_producing(self, counts: bool) -> None:
        self._control.enter(counts)

    def _leave_producing(self) -> None:
        self._control.leave()

    # -- ending, for this process

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError(f"{type(self).__name__} {self!r} is closed")

    def _disconnect(self) -> None:
        self._finalizer()

    # -- pickling

    def __getstate__(self) -> tuple[Any, ...]:
        return self._options, self._born

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        options: Options = state[0]
        self._attach(replace(options, create=False))
        if state[1] != _process and self._lives_in_one_process():
            raise NotSupported(_elsewhere(options.url))

    def _lives_in_one_process(self) -> bool:
        backend: Connection = self._options.make(self._options.url)  # not connected
        return backend.capabilities.process_only

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown}>"


def _elsewhere(url: Url) -> str:
    return (
        f"{url} lives in the process that made it, and this is another; "
        "use shm:// between processes, sqlite:// for what must last, or a broker"
    )


def _declare(this: weakref.ref[Any], backend: Any) -> None:
    handle = this()
    if handle is not None:
        handle._joined(backend)


def _close(link: Link[Any]) -> None:
    link.close()


_handles: weakref.WeakSet[Handle[Any]] = weakref.WeakSet()


def handles() -> list[Handle[Any]]:
    """Those of this process."""
    return list(_handles)


def _after_fork() -> None:
    global _process
    _process = os.urandom(16)
    for handle in list(_handles):
        handle._forked()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_after_fork)
