"""LineStream: standard output, or error, of a worker: whole lines, whoever else writes there."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["LineStream"]

_MOST_HELD = 64 * 1024  # characters of a line without an end


class LineStream(io.TextIOBase):
    """Keeps what each thread writes until its line ends, or is flushed, and then writes all of it at once.

    Lines of several threads and processes are whole, and none is lost with a process that is killed: what ended in a
    newline is out when `write` returns. (In a pipe the kernel may tear lines of more than 4 KiB.)

    Args:
        stream: the one that was there.
        send: takes text, and returns whether it could; None: it is written to the stream's descriptor.
    """

    def __init__(self, stream: Any, send: Callable[[str], object] | None) -> None:
        super().__init__()
        self._stream = stream
        self._send = send
        self._held: dict[int, str] = {}

    def write(self, text: str, /) -> int:
        """Write; see `io.TextIOBase`."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        thread = threading.get_ident()
        held = self._held.pop(thread, "") + text
        cut = held.rfind("\n") + 1
        if not cut and len(held) > _MOST_HELD:
            cut = len(held)
        if cut < len(held):
            self._held[thread] = held[cut:]
        if cut:
            self._put(held[:cut])
        return len(text)

    def flush(self) -> None:
        """Write what this thread has written and not ended."""
        held = self._held.pop(threading.get_ident(), "")
        if held:
            self._put(held)
        if not getattr(self._stream, "closed", False):
            self._stream.flush()

    def flush_all(self) -> None:
        """Write what any thread has written and not ended."""
        for thread in list(self._held):
            self._put(self._held.pop(thread, ""))
        self.flush()

    def _put(self, text: str) -> None:
        if self._send is not None and self._send(text):
            return
        data = memoryview(text.encode(self.encoding, self.errors or "strict"))
        fd = self._stream.fileno()
        while data:
            data = data[os.write(fd, data) :]

    # -- as the stream that it stands for ----------------------------------------------------------------

    def close(self) -> None:
        """It is open as long as the process lives."""

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor of the stream."""
        return int(self._stream.fileno())

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return bool(self._stream.isatty())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What is done about characters that the encoding has not."""
        return getattr(self._stream, "errors", None)

    @property
    def buffer(self) -> Any:
        """Where bytes are written."""
        return self._stream.buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
