"""Hearing: what worker processes log, warn of and print comes to the program's own handlers and streams."""

from __future__ import annotations

import io
import pickle
import sys
import warnings
from typing import Any

__all__ = ["Hearing", "is_plain"]

_STREAMS = {"out": "stdout", "err": "stderr"}


class Hearing:
    """What the workers of one run say.

    It comes in the order in which each of them says it, and before any result that is put later: what a worker logs of
    an item comes before what the next stage logs of it.
    """

    def __init__(self) -> None:
        self._warned: dict[tuple[Any, ...], int] = {}  # what of: who was the first to

    def hear(self, pid: int, what: str, data: bytes) -> None:
        """Act on what one of them has said.

        Args:
            pid: its process.
            what: `log`, `warning`, `out` or `err`.
            data: that.
        """
        if what == "log":
            _log(data)
        elif what == "warning":
            self._warn(pid, data)
        else:
            stream: Any = getattr(sys, _STREAMS[what])
            if stream is not None:
                stream.write(data.decode("utf-8", "surrogatepass"))
                stream.flush()

    def _warn(self, pid: int, data: bytes) -> None:
        try:
            message, category, filename, lineno = pickle.loads(data)
        except Exception as error:
            message, category = f"a warning of worker {pid} cannot be unpickled: {error}", UserWarning
            filename, lineno = "conveyor", 0
        # What one process shows more than once, as its filters say, is shown so; of several the first shows it.
        if self._warned.setdefault((str(message), category, filename, lineno), pid) == pid:
            warnings.showwarning(message, category, filename, lineno)


def _log(data: bytes) -> None:
    import logging

    try:
        found: dict[str, Any] = pickle.loads(data)
    except Exception as error:
        logging.getLogger("conveyor").error("a log record of a worker cannot be unpickled: %s", error)
        return
    record = logging.makeLogRecord(found)
    logging.getLogger(record.name).handle(record)


def is_plain(what: str) -> bool:
    """Whether a standard stream is what processes have by that number: they may as well write there themselves."""
    stream: Any = getattr(sys, _STREAMS[what])
    if stream is None:
        return True
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == 1 + (what == "err")
    except (OSError, ValueError):
        return False
