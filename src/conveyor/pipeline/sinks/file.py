"""FileSink: writes a line for each value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .sink import PlainSink

__all__ = ["FileSink"]


class FileSink(PlainSink):
    """Writes each value on a line: text and bytes as they are, anything else as JSON.

    Args:
        file: a path, which is created or emptied, or a file open for writing, which stays open.
        append: a file that exists keeps what it has.
    """

    def __init__(self, file: Any, append: bool = False) -> None:
        self._own = isinstance(file, (str, Path))
        if self._own and append:
            _cut_torn_line(Path(file))
        self._file: Any = Path(file).open("ab" if append else "wb") if self._own else file  # noqa: SIM115
        self._binary = self._own or "b" in getattr(self._file, "mode", "")

    def take(self, values: list[Any]) -> int:
        """Take all."""
        if self._binary:
            self._file.write(b"".join(_line(value) + b"\n" for value in values))
        else:
            self._file.write(
                "".join(_line(value).decode("utf-8", "surrogateescape") + "\n" for value in values)
            )
        return len(values)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._own:
            self._file.close()
        else:
            self._file.flush()


def _cut_torn_line(path: Path) -> None:
    """Take away the line that a process was writing when it was killed: it is not among those that are done."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        while end:
            start = max(end - 65536, 0)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        file.truncate(end)


def _line(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)  # pyright: ignore[reportUnknownArgumentType]
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{value!r:.80} cannot be written to a file: {error}; map it to str, bytes or JSON's types before"
        ) from None
