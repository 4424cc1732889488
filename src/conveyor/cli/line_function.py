"""LineFunction: turns a function of an item into one of a line, in the worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from .target import load_target

__all__ = ["LineFunction"]

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class LineFunction:
    """The function that `target` names, for lines: decodes each, calls the function, encodes its result.

    As text, an item is the line; a result is written as it is if it is a `str`, not at all if it is None,
    else as JSON. As JSON lines, item and result are JSON, and a blank line is no item. Bytes that are not
    UTF-8 (file names can be anything) pass through text unharmed.

    Args:
        target: see `load_target`.
        jsonl: lines are JSON.
    """

    def __init__(self, target: str, jsonl: bool) -> None:
        self._target = target
        self._jsonl = jsonl
        self._function: Callable[..., Any] | None = None

    def load(self) -> Callable[..., Any]:
        """Import the function, unless it is.

        Raises:
            TargetError: see `load_target`.
        """
        if self._function is None:
            self._function = load_target(self._target)
        return self._function

    def __getstate__(self) -> tuple[str, bool]:
        return self._target, self._jsonl

    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __call__(self, line: bytes) -> bytes:
        """What to write for this line, newline included; empty for nothing."""
        return self.call((line,))

    def call(self, arguments: Sequence[bytes]) -> bytes:
        """The same for an item of several arguments, each of which the function gets."""
        function = self._function or self.load()
        if self._jsonl:
            if all(not line or line.isspace() for line in arguments):
                return b""
            try:
                values = [json.loads(line) for line in arguments]
            except ValueError as error:
                raise ValueError(f"the line is not JSON: {error}") from None
            return _as_json(function(*values))
        result = function(*[line.decode("utf-8", "surrogateescape") for line in arguments])
        if isinstance(result, str):
            return (result + "\n").encode("utf-8", "surrogateescape")
        return b"" if result is None else _as_json(result)


def _as_json(value: Any) -> bytes:
    try:
        text = _dump(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the result cannot be written as JSON: {error}; return a str instead") from None
    try:
        return (text + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can carry as an escape only
        return json.dumps(value).encode() + b"\n"
