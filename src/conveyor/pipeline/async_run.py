"""A run in an asyncio program: the engine is in a thread, and the program's event loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any

from .base.events import Results
from .graph.graph import HasGraph
from .host.forking import start_thread
from .host.running_loop import RunningLoop
from .pipeline_run import PipelineRun
from .planning.planner import check
from .supervise.real_world import RealWorld

if TYPE_CHECKING:
    from .report.report import Report

__all__ = ["AsyncResults", "run_in_loop"]

# Lists of results that the engine may make while the program is at one; none, where that would acknowledge items of
# which nobody has seen the results.
_AHEAD = 1
# So many results at most are given before the loop has a turn, though more are there.
_AT_ONCE = 1024


def _make_run(pipeline: HasGraph, start_method: Any, **options: Any) -> PipelineRun:
    """A run whose coroutines live in the loop of this thread, ready to begin in another.

    Its processes are copies of what this thread is at now, or of a copy that was made now: this thread holds no lock
    between two steps of a coroutine, as it may at any later moment.
    """
    world = RealWorld(start_method, loop=RunningLoop())
    run = PipelineRun(pipeline, start_method=start_method, world=world, signals=False, **options)
    try:
        run.engine.get_ready()
    except BaseException:
        run.give_up()
        raise
    return run


class _Thread:
    """The thread of a run, and what of it arrives in the event loop.

    Args:
        run: what is to be run.
    """

    def __init__(self, run: PipelineRun) -> None:
        self.run = run
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        try:
            start_thread("conveyor engine", self._main)
        except BaseException:
            run.give_up()
            raise

    def _main(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error
        self.tell(self._ended)

    def _work(self) -> Any:
        """Run it, in the thread; what it returns or raises is the end."""
        return self.run.to_the_end()

    def _ended(self) -> None:
        self.over.set()

    def tell(self, call: Callable[..., object], *args: Any) -> bool:
        """Have this called in the loop; returns whether that is still possible."""
        try:
            self.loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # it is closed
            return False
        return True

    async def until_over(self) -> None:
        """Wait for the end, whatever comes; a wait that is cancelled for a second time ends the workers at once."""
        cancelled: asyncio.CancelledError | None = None
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError as error:
                cancelled = error
                self.run.engine.stop()
        if cancelled is not None:
            raise cancelled


async def run_in_loop(pipeline: HasGraph, signals: bool, start_method: Any = None, **options: Any) -> Report:
    """See `Pipeline.arun`."""
    run = _make_run(pipeline, start_method, **options)
    thread = _Thread(run)
    try:
        with _signals_handled(run) if signals else contextlib.nullcontext():
            await thread.over.wait()
    except BaseException:
        run.engine.halt()
        await thread.until_over()
        raise
    if thread.error is not None:
        raise thread.error
    report: Report = thread.result
    return report


@contextlib.contextmanager
def _signals_handled(run: PipelineRun) -> Generator[None]:
    """In the block Ctrl-C and SIGTERM end the run as `Pipeline.run` says, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, run.signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


class _Results(_Thread):
    """The thread of a run whose results are wanted, and those that have come.

    It is not the program that has this, but what the program iterates over, so that it is known when that is let go.
    """

    def __init__(self, run: PipelineRun) -> None:
        self.lists: deque[list[Any]] = deque()
        self.came = asyncio.Event()
        self.room = threading.Semaphore(
            0 if any(one.is_leased for one in run.graph.every_source()) else _AHEAD
        )
        self._left = False
        super().__init__(run)

    def _work(self) -> None:
        with contextlib.closing(self.run.events()) as events:
            for event in events:
                if isinstance(event, Results):
                    if self._left or not self.tell(self._arrived, event.values):
                        return
                    self.room.acquire()

    def _ended(self) -> None:
        super()._ended()
        self.came.set()

    def _arrived(self, values: list[Any]) -> None:
        self.lists.append(values)
        self.came.set()

    def leave(self) -> None:
        """Nobody wants the rest: end the run. From any thread, and at once."""
        self._left = True
        self.run.leave()
        self.room.release()


class AsyncResults(AsyncIterator[Any]):
    """What comes out of a run; see `Pipeline.astream`. When nobody has it any more, the run ends.

    Args:
        pipeline: what is to be run.
        start_method, options: see `PipelineRun`.
    """

    _thread: _Results | None = None

    def __init__(self, pipeline: HasGraph, start_method: Any = None, **options: Any) -> None:
        check(pipeline.graph, start_method)
        self._pipeline, self._start_method, self._options = pipeline, start_method, options
        self._current: deque[Any] = deque()
        self._given = 0
        self._has_list = self._waits = self._closed = False

    async def __anext__(self) -> Any:
        if self._waits:
            raise RuntimeError(
                "two tasks iterate over one astream() at the same time; each is to have its own"
            )
        if not self._current or self._given % _AT_ONCE == 0:
            self._waits = True
            try:
                await self._fetch()
            except BaseException:
                await self.aclose()
                raise
            finally:
                self._waits = False
        self._given += 1
        return self._current.popleft()

    async def _fetch(self) -> None:
        """See to it that there is a value; the loop has a turn meanwhile."""
        if self._closed:
            raise StopAsyncIteration
        if self._thread is None:
            run = _make_run(self._pipeline, self._start_method, streams=True, **self._options)
            self._thread = _Results(run)
        thread = self._thread
        await asyncio.sleep(0)
        while not self._current:
            if self._has_list:
                self._has_list = False
                thread.room.release()
            if thread.lists:
                self._current.extend(thread.lists.popleft())
                self._has_list = True
            elif thread.over.is_set():
                raise StopAsyncIteration if thread.error is None else thread.error
            else:
                thread.came.clear()
                # It comes from another thread, but through the loop: not between these two lines.
                await thread.came.wait()

    async def aclose(self) -> None:
        """End the run, if it has not ended, and wait until all of its workers have."""
        self._closed = True
        self._current.clear()
        thread, self._thread = self._thread, None
        if thread is not None and not thread.over.is_set():
            thread.leave()
            await thread.until_over()

    def __del__(self) -> None:
        if self._thread is not None:
            self._thread.leave()
