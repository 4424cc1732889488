"""An event loop in a thread of its own, for clients that live in one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from .port import ConnectionLost

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for threads that wait for what comes of them.

    Attributes:
        loop: the event loop.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """What the coroutine returns, or raises.

        Raises:
            ConnectionLost: it did not come to an end in time, or the loop is stopped.
        """
        try:
            running = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError as error:  # the loop is closed
            work.close()
            raise ConnectionLost("the connection is closed") from error
        try:
            return running.result(timeout)
        except concurrent.futures.TimeoutError as error:
            running.cancel()
            raise ConnectionLost(f"no answer for {timeout:.1f} s") from error
        except concurrent.futures.CancelledError as error:
            raise ConnectionLost("the connection was closed") from error
        except BaseException:
            running.cancel()  # of a signal's handler
            raise

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
