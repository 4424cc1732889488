"""Items as lines of text or of JSON, for the verbs that put, get and follow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from .exit_codes import CommandError, ExitCode

__all__ = ["ItemLines"]

_CHUNK = 1 << 16


class ItemLines:
    """How items are written and read.

    As text, an item is the line, without its end; bytes that are not UTF-8 (file names can be anything) are an item of
    bytes. What is neither text nor bytes is written as JSON. As JSON lines each item is JSON, and a blank line is none.
    What JSON does not have (a date, an array) is written as a string that shows it.

    Args:
        jsonl: JSON lines.
    """

    def __init__(self, jsonl: bool) -> None:
        self._jsonl = jsonl

    def item(self, line: bytes, place: str) -> Any:
        """The item of a line.

        Args:
            line: without its end.
            place: where it stands, for the message.

        Raises:
            CommandError: it is no JSON.
        """
        if self._jsonl:
            try:
                return json.loads(line)
            except ValueError as error:
                raise CommandError(f"{place} is not JSON: {error}") from None
        try:
            return line.decode()
        except UnicodeDecodeError:
            return line

    def items(self, words: Sequence[str]) -> list[Any]:
        """Those of the words of a command line."""
        return [self.item(os.fsencode(word), f"item {n}") for n, word in enumerate(words, 1)]

    def read(self, descriptor: int) -> Iterator[list[Any]]:
        """Those of a stream of lines, in portions: as they come, and many at a time when they come fast."""
        left = b""
        number = 0
        while chunk := os.read(descriptor, _CHUNK):
            *lines, left = (left + chunk).split(b"\n")
            yield self._of_lines(lines, number)
            number += len(lines)
        if left:
            yield self._of_lines([left], number)

    def _of_lines(self, lines: list[bytes], before: int) -> list[Any]:
        return [
            self.item(line, f"line {before + n}")
            for n, line in enumerate(lines, 1)
            if not (self._jsonl and (not line or line.isspace()))
        ]

    def text(self, item: Any) -> str:
        """An item as its line shows it."""
        return self._line(item).decode("utf-8", "replace")

    def write(self, items: Sequence[Any]) -> None:
        """Write them to standard output; they are with the system when this returns.

        Raises:
            BrokenPipeError: the reader has left.
            CommandError: it cannot be written: the disk is full.
        """
        left = memoryview(b"".join(self._line(item) + b"\n" for item in items))
        sys.stdout.flush()
        try:
            while left:
                # Not by the buffer, which would keep what could not be written, and try it once more at the end.
                left = left[os.write(sys.stdout.fileno(), left) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CommandError(f"cannot write: {error.strerror}", ExitCode.WORK_FAILED) from None

    def _line(self, item: Any) -> bytes:
        if not self._jsonl:
            if isinstance(item, str):
                return item.encode("utf-8", "surrogateescape")
            if isinstance(item, (bytes, bytearray, memoryview)):
                return bytes(item)  # pyright: ignore[reportUnknownArgumentType]
        try:
            return json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=repr).encode()
        except (TypeError, ValueError):  # keys that JSON does not have, or a lone surrogate
            return json.dumps(repr(item)).encode()
