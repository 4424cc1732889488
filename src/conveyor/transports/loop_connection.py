"""A connection that lives in an event loop in a thread of its own, as a transport holds it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .answer import Answer
from .loop_thread import LoopThread
from .port import Connection, ConnectionLost
from .url import Url

__all__ = ["LoopConnection", "LoopWire", "first_that_answers"]

T = TypeVar("T")

_CLOSE_SECONDS = 2.0

# Of a forked child's parent: they must not be collected, or they would be closed.
_abandoned: list[Any] = []


class LoopWire(Protocol):
    """A connection of the client's; all methods but `forget` are for the loop's thread."""

    async def open(self, wait: float) -> None:
        """Connect."""

    async def close(self) -> None:
        """End it. Never raises."""

    def forget(self) -> None:
        """Close the descriptors that a forked child has of it, and nothing else."""


W = TypeVar("W", bound=LoopWire)


class LoopConnection(Connection, Generic[W]):
    """A queue or topic on a server, at the end of a wire. Subclasses say what the wire is, and what its errors mean."""

    thread_name: ClassVar[str]
    answer_seconds: ClassVar[float]
    """A server that does not answer for so long is taken for lost."""
    refusals: ClassVar[tuple[type[Exception], ...]]
    """What the server says no by: `_meaning` has what it means to a user."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self._thread: LoopThread | None = None
        self._wire: W | None = None

    @abstractmethod
    def _new_wire(self) -> W:
        """One that is not open yet."""

    @abstractmethod
    def _port(self) -> int:
        """The port of a host without one."""

    @abstractmethod
    def _meaning(self, error: Any) -> Exception:
        """What a refusal means to a user."""

    async def _opened(self, wire: W) -> None:
        """A connection stands; in its loop."""

    def open(self, wait: float) -> None:
        thread = LoopThread(self.thread_name)
        wire = self._new_wire()
        try:
            thread.run(wire.open(wait), wait + 1.0)
            thread.run(self._opened(wire), self.answer_seconds)
        except BaseException:
            with contextlib.suppress(ConnectionLost):
                thread.run(wire.close(), _CLOSE_SECONDS)
            thread.stop()
            raise
        self._thread, self._wire = thread, wire

    def close(self) -> None:
        thread, self._thread = self._thread, None
        wire, self._wire = self._wire, None
        if thread is not None and wire is not None:
            with contextlib.suppress(ConnectionLost):
                thread.run(wire.close(), _CLOSE_SECONDS)
            thread.stop()

    def abandon(self) -> None:
        thread, self._thread = self._thread, None
        wire, self._wire = self._wire, None
        _abandoned.append((thread, wire))
        if wire is not None:
            wire.forget()

    def address(self) -> str:
        return ", ".join(f"{host}:{port or self._port()}" for host, port in self._url.hosts)

    def _connected(self) -> tuple[LoopThread, W]:
        thread, wire = self._thread, self._wire
        if thread is None or wire is None:
            raise ConnectionLost(f"{self._url} is closed")
        return thread, wire

    def _do(self, work: Callable[[W], Coroutine[Any, Any, T]], wait: float = 0.0) -> T:
        """What a coroutine makes of the connection, in its loop."""
        thread, wire = self._connected()
        try:
            return thread.run(work(wire), wait + self.answer_seconds)
        except self.refusals as error:
            raise self._meaning(error) from error

    def _call(
        self,
        function: Callable[[Answer[T]], object],
        wait: float = 0.0,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """The answer of a function that is called in the connection's loop; see `LoopThread.call`."""
        thread, _ = self._connected()
        try:
            return thread.call(function, wait + self.answer_seconds, undo)
        except self.refusals as error:
            raise self._meaning(error) from error

    def _removed(self) -> FileNotFoundError:
        return FileNotFoundError(f"{self._url} was removed")


async def first_that_answers(
    url: Url, connect: Callable[[str, int | None], Awaitable[None]], wait: float, undo: Callable[[], object]
) -> None:
    """Connect to one of the servers of a URL, in no order: all who lost one do not go to the same next one.

    Args:
        url: has the hosts.
        connect: to one of them.
        wait: seconds for each.
        undo: called after one that has not answered.

    Raises:
        ConnectionLost: none of them has. And what else `connect` raises.
    """
    hosts = list(url.hosts)
    random.shuffle(hosts)
    lost = ConnectionLost(f"{url} names no host")
    for host, port in hosts:
        try:
            await asyncio.wait_for(connect(host, port), wait)
        except TimeoutError as error:
            lost = ConnectionLost(f"{host} does not answer")
            lost.__cause__ = error
        except ConnectionLost as error:
            lost = error
        else:
            return
        undo()
    raise lost
