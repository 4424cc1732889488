"""A command on a terminal of its own, and what stands there: a pseudo-terminal, and pyte's model of a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import pyte

PATIENCE = 30.0  # seconds; what takes longer hangs


class OnScreen:
    """A command. Its screen is read by `until`.

    Args:
        command: the program and its words.
        columns, rows: of the terminal.
        environment: of the process.
    """

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.raw = b""
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            env=environment,
            preexec_fn=own_terminal,
        )

    def resize(self, columns: int, rows: int) -> None:
        """The terminal is of that size from now on; the process is told by the kernel."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        """What stands there."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    def line(self, word: str) -> str:
        """The first line that has this word."""
        return next(line for line in self.lines if word in line)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def until(self, true: Callable[[], bool]) -> None:
        """Read what is drawn until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"waited too long; there stands:\n{self.text}"
            data = os.read(self.master, 65536)
            self.raw += data
            self._stream.feed(data)

    def shows(self, *words: str) -> None:
        """Read until all of these stand there."""
        self.until(lambda: all(word in self.text for word in words))

    def end(self) -> int:
        """Read on until it has ended; how it did, as `Popen.returncode`. The terminal is as before then."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; there stands:\n{self.text}"
            if select.select([self.master], [], [], 0.02)[0]:
                self.raw += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0)[0]:
            self.raw += os.read(self.master, 65536)
        return self.process.returncode

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was before: its modes, its screen, its cursor."""
        modes = termios.tcgetattr(self.slave) == self.before
        return modes and self.raw.rstrip().endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")

    def close(self) -> None:
        """End it, whatever it is at."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)
