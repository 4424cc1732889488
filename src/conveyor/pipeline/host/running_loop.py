"""RunningLoop: the program's own event loop, in which the coroutines of a run live as well."""

from __future__ import annotations

import asyncio

from .event_loop import Loop

__all__ = ["RunningLoop"]


class RunningLoop(Loop):
    """The loop that runs in this thread. What coroutines use there, such as an HTTP client, is theirs, too.

    Raises:
        RuntimeError: none runs in this thread.
    """

    def __init__(self) -> None:
        super().__init__(_ignore)
        self._running = asyncio.get_running_loop()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, which runs."""
        return self._running

    def close(self) -> None:
        """Leave it as it is: the run's own coroutines have ended, and the rest is the program's."""


def _ignore(_: BaseException) -> None:
    """What passes through the loop ends it, and is the program's."""
