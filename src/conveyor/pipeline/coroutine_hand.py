"""CoroutineHand: a worker that is a coroutine, and the event loop in which those of a run live."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from ..workers.chain import is_worker_class
from ..workers.failing import describe_failure
from ..workers.messages import BROKEN, FAILED, READY, SLOW, VALUE, is_stop
from ..workers.serve import Job
from ..workers.slate import Slate
from .forking import start_thread
from .hand import Hand
from .local import LocalChannel
from .owner import Owner

__all__ = ["CoroutineHand", "Loop"]


class Loop:
    """An event loop in a thread of its own, made when it is first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = start_thread("conveyor coroutines", self._run, self._loop)
        return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def close(self) -> None:
        """End the loop; coroutines that still run in it are cancelled."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)


class CoroutineHand(Hand):
    """A coroutine that works on one item at a time.

    Args:
        owner: the stage.
        job: what the worker does: one `async def` function.
        loop: where it lives.
        tell: called, in any thread, with this hand when it has results.
    """

    most_ahead = 2
    """What waits here could be begun by another coroutine."""

    def __init__(self, owner: Owner, job: Job, loop: Loop, tell: Callable[[Hand], None]) -> None:
        super().__init__(owner, Slate(-1))
        self._loop = loop.loop
        self._results = LocalChannel(lambda: tell(self))
        self._waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._ended = threading.Event()
        self._meter = self.slate.meter()
        self._task = asyncio.run_coroutine_threadsafe(self._work(job), self._loop)
        self._task.add_done_callback(lambda _: self._ended.set())

    async def _work(self, job: Job) -> None:
        put, meter = self._results.put, self._meter
        try:
            function = job.links[0].function
            function = function() if is_worker_class(function) else function
            await _maybe(getattr(function, "setup", None))
        except Exception as error:
            put((BROKEN, 0, 1, *describe_failure(error)))
            return
        put((READY,))
        try:
            while True:
                if self._waiting.empty():
                    meter.idle()
                    task = await self._waiting.get()
                    meter.begin()
                else:
                    task = self._waiting.get_nowait()
                if type(task) is tuple:
                    if task[0] != VALUE:
                        return
                    task = task[1]  # pyright: ignore[reportUnknownVariableType]
                try:
                    result = await function(task)
                    put((VALUE, result) if type(result) is tuple else result)
                except Exception as error:
                    put((FAILED, 0, 1, *describe_failure(error)))
                took = meter.lap()
                if took:
                    put((SLOW, took))
        finally:
            await _maybe(getattr(function, "teardown", None))

    @property
    def token(self) -> Hand:
        """This hand."""
        return self

    def _send(self, messages: list[Any]) -> None:
        self._loop.call_soon_threadsafe(self._put_all, messages)

    def _put_all(self, messages: list[Any]) -> None:
        for message in messages:
            self._waiting.put_nowait(message)

    def _take(self) -> list[Any]:
        return self._results.take_each()

    def _recall(self) -> int:
        return asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()

    async def _drain(self) -> int:
        count = 0
        while not self._waiting.empty():
            count += not is_stop(self._waiting.get_nowait())
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        return not self._results.empty()

    def kill(self) -> None:
        """Cancel it."""
        self._task.cancel()

    def gone(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def close(self) -> None:
        """Wait for the end of a coroutine that is ending."""
        self._ended.wait()
        super().close()
        if not self._task.cancelled():
            self._task.exception()


async def _maybe(method: Any) -> None:
    if callable(method):
        result = method()
        if asyncio.iscoroutine(result):
            await result
