"""Voice: what a worker process logs, warns of and prints, and how it comes to the program."""

from __future__ import annotations

import io
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .line_stream import LineStream
from .messages import SAID

if TYPE_CHECKING:
    import logging

__all__ = ["LogLevels", "Voice", "log_levels", "warning_filters"]

_SHOWN = ("out", "err")
_STREAMS = {"out": "stdout", "err": "stderr"}


@dataclass(frozen=True)
class LogLevels:
    """How the program's loggers are set."""

    disabled: int
    """See `logging.disable`."""
    root: int
    """The level of the root logger."""
    loggers: tuple[tuple[str, int, bool, bool], ...]
    """Those that say something: name, level, whether they pass on to those above, whether they are disabled."""


@dataclass(frozen=True)
class Voice:
    """How a worker process speaks."""

    logs: LogLevels | None = None
    """The program's loggers, which get what the worker logs; None: the worker's own do."""
    warns: bool = True
    """Whether the program shows warnings of the worker, those of several workers once."""
    filters: tuple[bytes, ...] | None = None
    """The program's filters of warnings, pickled, the first first; None: the worker has them."""
    prints: frozenset[str] = frozenset()
    """`out`, `err`: the program writes these for the worker. Else the worker writes whole lines itself."""

    @contextmanager
    def speaking(self, put: Callable[[Any], None]) -> Generator[None]:
        """In the worker, as long as it works: speak like this.

        Args:
            put: takes messages to the program, in any thread.
        """
        pid = os.getpid()

        def say(what: str, data: bytes) -> bool:
            if os.getpid() != pid:  # a child of the worker's: what comes from there is not of any worker
                return False
            put((SAID, what, data))
            return True

        if self.filters is not None:
            _set_filters(self.filters)
        before = sys.stdout, sys.stderr, warnings.showwarning
        if self.warns:
            warnings.showwarning = _shower(say, warnings.showwarning)
        streams = [stream for what in _SHOWN if (stream := self._stream(what, say)) is not None]
        if self.logs is not None:
            _send_logs(self.logs, say)
        try:
            yield
        finally:
            for stream in streams:
                stream.flush_all()
            sys.stdout, sys.stderr, warnings.showwarning = before

    def _stream(self, what: str, say: Callable[[str, bytes], bool]) -> LineStream | None:
        """Put one in the place of a standard stream that writes whole lines."""
        stream: Any = getattr(sys, _STREAMS[what])
        if stream is None:
            return None
        if what not in self.prints:
            if not isinstance(stream, io.TextIOWrapper):
                return None  # somebody has put his own in its place
            made = LineStream(stream, None)
        else:
            made = LineStream(stream, lambda text: say(what, text.encode("utf-8", "surrogatepass")))
        setattr(sys, _STREAMS[what], made)
        return made


def log_levels() -> LogLevels | None:
    """Of this program, now; None: it does not log."""
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return None
    root, manager = logging.getLogger(), logging.getLogger().manager
    named = [logger for logger in dict(manager.loggerDict).values() if isinstance(logger, logging.Logger)]
    if not any(logger.handlers for logger in (root, *named)):
        return None  # what it is warned of goes to standard error, in a worker as here
    return LogLevels(
        manager.disable,
        root.level,
        tuple(
            (logger.name, logger.level, logger.propagate, logger.disabled)
            for logger in named
            if logger.level or not logger.propagate or logger.disabled or logger.handlers
        ),
    )


def warning_filters() -> tuple[bytes, ...]:
    """Of this program, now: those that can be pickled."""
    found: list[bytes] = []
    for entry in warnings.filters:
        try:
            found.append(pickle.dumps(entry))
        except Exception:  # of a category that nobody can import
            continue
    return tuple(found)


def _set_filters(filters: tuple[bytes, ...]) -> None:
    warnings.resetwarnings()
    for data in reversed(filters):
        try:
            action, message, category, module, line = pickle.loads(data)
        except Exception:  # the category is of a module that is not to be had here
            continue
        texts = [getattr(one, "pattern", one) or "" for one in (message, module)]
        warnings.filterwarnings(action, texts[0], category, texts[1], line)


def _shower(say: Callable[[str, bytes], bool], before: Callable[..., None]) -> Callable[..., None]:
    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is not None or not say("warning", _pickled_warning(message, category, filename, lineno)):
            before(message, category, filename, lineno, file, line)

    return showwarning


def _pickled_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int) -> bytes:
    try:
        return pickle.dumps((message, category, filename, lineno))
    except Exception:
        known = next(
            (kind for kind in category.__mro__ if kind.__module__ == "builtins"),
            Warning,
        )
        return pickle.dumps((f"{category.__name__}: {message}", known, filename, lineno))


def _send_logs(levels: LogLevels, say: Callable[[str, bytes], bool]) -> None:
    """Have what is logged go to the program, and to nobody else."""
    import logging

    from .log_sender import LogSender

    sender = LogSender(say)
    root = logging.getLogger()
    logging.disable(levels.disabled)
    root.setLevel(levels.root)
    for name, level, propagates, is_disabled in levels.loggers:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagates, is_disabled
    every: list[logging.Logger] = [root]
    every += [one for one in dict(root.manager.loggerDict).values() if isinstance(one, logging.Logger)]
    for logger in every:
        # Not closed: they are the program's, and what they hold back is its own to write.
        logger.handlers[:] = [sender] if logger is root or not logger.propagate else []
