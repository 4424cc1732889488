"""LogSender: a handler that sends what is logged in a worker to the program."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["LogSender"]


class LogSender(logging.Handler):
    """Sends records as they are when it is called; when it returns, they outlive the process.

    Args:
        say: takes `log` and a pickled dict of the record's attributes; returns whether it could.
    """

    def __init__(self, say: Callable[[str, bytes], bool]) -> None:
        super().__init__()
        self._say = say

    def createLock(self) -> None:  # noqa: N802 - the standard library's
        """None is needed: `say` may be called by several threads, and one that was forked meanwhile would keep it."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        try:
            if not self._say("log", _pickled(record)):
                sys.stderr.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


def _pickled(record: logging.LogRecord) -> bytes:
    """Its attributes: the arguments are in the text, and of an exception the traceback is."""
    found: dict[str, Any] = dict(vars(record))
    found["msg"] = record.getMessage()
    found["args"] = None
    if record.exc_info and not record.exc_text:
        found["exc_text"] = logging.Formatter().formatException(record.exc_info)
    found["exc_info"] = None
    found.pop("message", None)
    try:
        return pickle.dumps(found)
    except Exception:
        return pickle.dumps(
            {name: value if _can_travel(value) else _shown(value) for name, value in found.items()}
        )


def _can_travel(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return f"(a {type(value).__name__} whose repr raises)"
