"""CoroutineHand: a worker that is a coroutine."""

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
from .hand import Hand
from .local import LocalChannel
from .loop import Loop
from .owner import Owner

__all__ = ["CoroutineHand"]


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
        self._killed = False
        self._meter = self.slate.meter()
        self._task = asyncio.run_coroutine_threadsafe(self._work(job), self._loop)
        self._task.add_done_callback(lambda _: self._ended.set())

    async def _work(self, job: Job) -> None:
        put, meter = self._results.put, self._meter
        try:
            function = job.links[0].function
            function = function() if is_worker_class(function) else function
            await _maybe(getattr(function, "setup", None))
        except BaseException as error:
            self._check_mine()
            put((BROKEN, 0, 1, *describe_failure(error)))
            return
        put((READY,))
        try:
            while not self._killed:  # it may have swallowed that it was told to end
                if self._waiting.empty():
                    meter.idle()
                    task = await self._next()
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
                except BaseException as error:  # even SystemExit, which would end the loop
                    self._check_mine()
                    put((FAILED, 0, 1, *describe_failure(error)))
                took = meter.lap()
                if took:
                    put((SLOW, took))
        finally:
            try:
                await _maybe(getattr(function, "teardown", None))
            except (SystemExit, KeyboardInterrupt) as error:  # they would end the loop
                raise RuntimeError("teardown ended by " + type(error).__name__) from error

    async def _next(self) -> Any:
        while True:
            try:
                return await self._waiting.get()
            except asyncio.CancelledError:  # may be of the last item, which cancelled itself and returned
                self._check_mine()

    def _check_mine(self) -> None:
        """In a handler: raise again what came because it was told to end. Any other exception is its item's, also
        a CancelledError: something that the function awaited was cancelled, or it cancelled itself."""
        if self._killed or self._loop.is_closed():
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()

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
        self._killed = True
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
