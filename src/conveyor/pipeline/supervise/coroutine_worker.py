"""CoroutineWorker: a worker that is a coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from ..._native import Meter
from ..flow.local_channel import LocalChannel
from ..host.event_loop import Loop
from ..worker.failing import tell_failure
from ..worker.functions import PART_SIZE, is_worker_class
from ..worker.identity import Worker, call_takes_worker, call_with
from ..worker.messages import BROKEN, FAILED, LEFT, READY, REST, SEEDED, SLOW, TORN, VALUE, WORN, is_stop
from ..worker.seeding import Seeding
from ..worker.serve import Job, leave_if_forked
from ..worker.status_page import StatusPage
from .handle import WorkerHandle
from .stage_port import StagePort

__all__ = ["CoroutineWorker"]

# A coroutine that does not end so long after it was cancelled is left behind.
_CANCEL_SECONDS = 1.0


class CoroutineWorker(WorkerHandle):
    """A coroutine that works on one item at a time.

    Args:
        owner: the stage.
        job: what the worker does: one `async def` function.
        loop: where it lives.
        tell: called, in any thread, with this handle when it has results.
    """

    most_ahead = 2
    """What waits here could be begun by another coroutine."""

    def __init__(
        self, stage_port: StagePort, job: Job, loop: Loop, tell: Callable[[WorkerHandle], None]
    ) -> None:
        super().__init__(stage_port, StatusPage(-1))
        self._loop = loop.loop
        self._results = LocalChannel(lambda: tell(self))
        self._tasks: deque[Any] = deque()
        self._came = asyncio.Event()
        self._ended = threading.Event()
        self._process = os.getpid()
        self._killed_at = 0.0
        self._killed_in_teardown = False
        self._task: asyncio.Task[None] | None = None
        self._tell = tell
        self._loop.call_soon_threadsafe(self._start, job)

    # -- in the loop ---------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        self._task = self._loop.create_task(self._work(job))
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        assert self._task is not None, "it was started before"
        self._task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()
        self._ended.set()
        self._tell(self)

    def _put(self, message: Any) -> None:
        leave_if_forked(self._process)
        self._results.put(message)

    async def _work(self, job: Job) -> None:
        put = self._put
        _, function, arguments, initializer = job.links[0]
        made = None
        worker = Worker(job.stage, job.count, self.status_page.identity)
        seeding = Seeding(worker, job.item_seeds, has_process=False)
        self.status_page.note_setup(True)
        try:
            if initializer is not None:
                worker.state = await _awaited(call_with(worker, initializer))
            function = function() if is_worker_class(function) else function
            await _call_if_there(function, "setup", worker)
            made = function
        except BaseException as error:
            self._check_mine()
            tell_failure(put, BROKEN, 0, 1, error, here=True)
        else:
            self.status_page.note_setup(False)
            put((READY,))
            asks = call_takes_worker(function, arguments)
            call = partial(function, worker=worker) if asks else function
            call = call if arguments is None else arguments.bind(call)
            await self._serve(call, job.max_items or 0, seeding, worker)
        finally:
            self.status_page.note_teardown()
            seeding.end()
            try:
                async for values in _blocks(await _call_if_there(made, "teardown", worker)):
                    put((REST, values))
            except BaseException as error:  # even SystemExit, which would end the loop
                if self._killed_in_teardown:
                    raise
                tell_failure(put, TORN, 0, 1, error, here=True)
            put((LEFT,))

    async def _serve(self, function: Any, left: int, seeding: Seeding, worker: Worker) -> None:
        put, meter = self._put, self.status_page.meter()
        while not self._killed_at:  # it may have swallowed that it was told to end
            task = await self._next(meter)
            if type(task) is tuple and task[0] == SEEDED:
                seeding.begin_item(task[1])  # pyright: ignore[reportUnknownArgumentType]
                task = task[2]  # pyright: ignore[reportUnknownVariableType]
            if type(task) is tuple:  # pyright: ignore[reportUnknownArgumentType]
                if task[0] != VALUE:
                    meter.idle()
                    return
                task = task[1]  # pyright: ignore[reportUnknownVariableType]
            try:
                result = await function(task)
                put((VALUE, result) if type(result) is tuple else result)
            except BaseException as error:  # even SystemExit, which would end the loop
                self._check_mine()
                tell_failure(put, FAILED, 0, 1, error, here=True)
            took = meter.lap()
            if took:
                put((SLOW, took))
            left -= 1
            if not left:
                meter.idle()
                worker.wear_out()
                put((WORN,))
                return

    async def _next(self, meter: Meter) -> Any:
        while True:
            with contextlib.suppress(IndexError):
                return self._tasks.popleft()
            self._came.clear()
            if self._tasks:
                continue
            meter.idle()
            try:
                await self._came.wait()
            except asyncio.CancelledError:  # may be of the last item, which cancelled itself and returned
                self._check_mine()
            meter.begin()

    def _check_mine(self) -> None:
        """In a handler: raise again what came because it was told to end. Any other exception is its item's, also
        a CancelledError: something that the function awaited was cancelled, or it cancelled itself."""
        if self._killed_at or self._loop.is_closed():
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()

    # -- in the engine -------------------------------------------------------------------------------

    @property
    def token(self) -> WorkerHandle:
        """This handle."""
        return self

    def _send(self, messages: list[Any]) -> None:
        self._tasks.extend(messages)
        self._loop.call_soon_threadsafe(self._came.set)

    def _take(self) -> list[Any]:
        return self._results.take_each()

    def _recall(self) -> int:
        count = 0
        with contextlib.suppress(IndexError):
            while True:
                count += not is_stop(self._tasks.pop())
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        return not self._results.empty()

    def kill(self) -> None:
        """Cancel it."""
        self._killed_at = self.now()
        self._killed_in_teardown = self.status_page.teardown_since > 0
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all that lived there
            self._loop.call_soon_threadsafe(self._cancel)

    def gone(self) -> bool:
        """Whether it has ended, or was left behind."""
        if self._ended.is_set():
            return True
        tears_down = self.status_page.teardown_since > 0 and not self._killed_in_teardown
        return self._killed_at > 0 and not tears_down and self.now() > self._killed_at + _CANCEL_SECONDS

    def close(self) -> None:
        """Wait for the end of a coroutine that is ending; one that was left behind keeps its status page."""
        patience = self._killed_at + _CANCEL_SECONDS - self.now() if self._killed_at else None
        if not self._ended.wait(patience if patience is None else max(patience, 0)):
            return
        super().close()


async def _call_if_there(made: Any, name: str, worker: Worker) -> Any:
    method = getattr(made, name, None)
    if callable(method) and not isinstance(made, type):
        return await _awaited(call_with(worker, method))
    return None


async def _awaited(given: Any) -> Any:
    return await given if asyncio.iscoroutine(given) else given


async def _blocks(given: Any) -> AsyncIterator[list[Any]]:
    """What a teardown gave, as lists: each value of an iterator or a list, or the one that it is."""
    if isinstance(given, AsyncIterator):
        async for value in given:  # pyright: ignore[reportUnknownVariableType]
            yield [value]
    elif given is not None:
        values: Iterator[Any] = iter(given if isinstance(given, (Iterator, list)) else (given,))  # pyright: ignore[reportUnknownArgumentType]
        while block := list(islice(values, PART_SIZE)):
            yield block
