"""Calls that block, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(condition: Callable[[], Any], what: str = "what was waited for", seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.001)


class Caller(threading.Thread):
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: call(*arguments, **options)
        self._result: Any = None
        self._error: BaseException | None = None
        self.born = time.monotonic()
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def asleep(self) -> Caller:
        """The same, once the thread sleeps and goes on sleeping."""
        state = Path(f"/proc/self/task/{self.native_id}/stat")
        for _ in range(20):
            until(lambda: state.read_text().rpartition(")")[2].split()[0] == "S", "it blocks")
            time.sleep(0.001)
        return self

    def result(self, seconds: float = 10.0) -> Any:
        self.join(seconds)
        assert not self.is_alive(), "it still blocks"
        if self._error is not None:
            raise self._error
        return self._result
