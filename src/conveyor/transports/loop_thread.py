"""An event loop in a thread of its own, for clients that live in one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .answer import Answer
from .port import ConnectionLost

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines and functions for threads that wait for what comes of them.

    Attributes:
        loop: the event loop.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._awaited: set[Answer[Any]] = set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()
            # Nobody can ask any more: these are all.
            for answer in list(self._awaited):
                if answer.claim():
                    answer.fail(ConnectionLost("the connection was closed"))

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """What the coroutine returns, or raises.

        Raises:
            ConnectionLost: it did not come to an end in time, or the loop is stopped.
        """
        tasks: list[asyncio.Task[None]] = []

        def start(answer: Answer[T]) -> None:
            task = self.loop.create_task(_answered(work, answer))
            task.add_done_callback(lambda _: work.close())  # it may be cancelled before it has begun
            tasks.append(task)

        try:
            return self.call(start, timeout)
        except BaseException:
            if self.loop.is_closed():
                if not tasks:
                    work.close()  # it will not begin any more
            else:
                self.post(lambda: [task.cancel() for task in tasks] if tasks else work.close())
            raise

    def call(
        self,
        function: Callable[[Answer[T]], object],
        timeout: float,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """What the function, called in the loop's thread, or whatever it sets going gives as an answer.

        Args:
            function: gets the answer; raises nothing.
            timeout: seconds.
            undo: see `Answer.wait`.

        Raises:
            ConnectionLost: nothing was given in time, or the loop is stopped.
        """
        answer: Answer[T] = Answer()
        self._awaited.add(answer)
        try:
            self.loop.call_soon_threadsafe(function, answer)
            return answer.wait(timeout, undo)
        except RuntimeError as error:
            if self.loop.is_closed():
                raise ConnectionLost("the connection is closed") from error
            raise
        finally:
            self._awaited.discard(answer)

    def post(self, function: Callable[[], object]) -> None:
        """Have the function called in the loop's thread, if there still is one."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            return

    def stop(self) -> None:
        """End the thread, and whatever runs there. Never raises."""
        try:
            self.loop.call_soon_threadsafe(self._cancel_all)
        except RuntimeError:
            return  # it is already
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        # Once more around, in which they end.
        self.loop.call_soon(self.loop.call_soon, self.loop.stop)


async def _answered(work: Coroutine[Any, Any, T], answer: Answer[T]) -> None:
    try:
        value = await work
    except asyncio.CancelledError:
        if answer.claim():
            answer.fail(ConnectionLost("the connection was closed"))
        raise
    except BaseException as error:
        if answer.claim():
            answer.fail(error)
    else:
        if answer.claim():
            answer.give(value)
