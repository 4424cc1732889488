"""Loop: the event loop in which the coroutines of a run live."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from .forking import start_thread

__all__ = ["Loop"]


class Loop:
    """An event loop in a thread of its own, made when it is first needed.

    Args:
        failed: told, in that thread, of SystemExit or KeyboardInterrupt out of a task that the program itself has
            made there. They pass through an event loop and would end it, and nothing in it would go on.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = start_thread("conveyor coroutines", self._run, self._loop)
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
                break
            except BaseException as error:
                self._failed(error)
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
