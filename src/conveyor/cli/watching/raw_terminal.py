"""RawTerminal: the whole screen and every key, for a while; whatever happens, the terminal is as before afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import tty
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["RawTerminal"]

# The other screen, no cursor, no wrapping at the last column.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


class RawTerminal:
    """A context. Signals that end or stop the process are taken note of; `wait` returns at once then.

    Args:
        keys_from: descriptor of the terminal to read from.
        draw_on: descriptor of the terminal to write to.
    """

    def __init__(self, keys_from: int, draw_on: int) -> None:
        self._in, self._out, self._drawn_on = keys_from, -1, draw_on
        self._before: list[Any] = []
        self._handlers: dict[int, Any] = {}
        self._wake: tuple[int, int] = (-1, -1)
        self._came: set[int] = set()

    def __enter__(self) -> RawTerminal:
        self._before = termios.tcgetattr(self._in)
        # Our own way to it, on which nobody is made to wait by us, and we by nobody (Ctrl-S).
        try:
            way = f"/proc/self/fd/{self._drawn_on}"
            self._out = os.open(way, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # another user's, as after su
            self._out = os.dup(self._drawn_on)
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._old_wake = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (*_ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH):
            self._handlers[number] = signal.signal(number, self._note)
        try:
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wake)
        for fd in (*self._wake, self._out):
            os.close(fd)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(self._out)
        except OSError:
            return 80, 24
        return columns or 80, rows or 24

    @property
    def ending(self) -> signal.Signals | None:
        """The signal that asks us to end; None: there was none."""
        return next((number for number in _ENDING if number in self._came), None)

    def changed(self) -> bool:
        """Whether the size is another, or the screen was taken from us, since the last call. Stops the process here
        if that was asked for."""
        came = self._came & {signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH}
        self._came -= came
        if signal.SIGTSTP in came:
            self._stop()
        elif signal.SIGCONT in came:
            self._take()
        return bool(came)

    def write(self, text: str) -> None:
        """All of it, unless we are asked to end meanwhile.

        Raises:
            OSError: nobody sees it any more.
        """
        data = text.encode(errors="replace")
        while data:
            try:
                data = data[os.write(self._out, data) :]
            except BlockingIOError:
                if self.ending is not None or signal.SIGTSTP in self._came:
                    return
                select.select([self._wake[0]], [self._out], [])
                self._drain()

    def wait(self, seconds: float) -> bytes | None:
        """What was typed; b"": nothing was in this time, or a signal came.

        Returns:
            None: the terminal is gone.
        """
        try:
            ready, _, _ = select.select([self._in, self._wake[0]], [], [], max(seconds, 0.0))
            self._drain()
            return (os.read(self._in, 4096) or None) if self._in in ready else b""
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.add(number)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake[0], 4096)

    def _take(self) -> None:
        tty.setcbreak(self._in, termios.TCSANOW)
        self.write(_ENTER)

    def _give_back(self) -> None:
        steps: tuple[Callable[[], object], ...] = (
            lambda: self.write(_LEAVE),
            lambda: termios.tcsetattr(self._in, termios.TCSANOW, self._before),
        )
        for step in steps:
            with contextlib.suppress(OSError, termios.error):  # the terminal is gone
                step()

    def _stop(self) -> None:
        self._give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # here we stand until somebody says SIGCONT
        signal.signal(signal.SIGTSTP, handler)
        self._came.discard(signal.SIGCONT)
        self._take()
