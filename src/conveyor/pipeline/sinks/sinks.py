"""Where values go: a list, a function, a file, a queue, or one value that all are merged into."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ...errors import Full, PipelineError

__all__ = [
    "CallSink",
    "CollectSink",
    "EventSink",
    "FileSink",
    "QueueSink",
    "ReduceSink",
    "Sink",
    "check_target",
    "make_sink",
]


class Sink(Protocol):
    """Takes values."""

    def take(self, values: list[Any]) -> int:
        """Take the first of these values; returns how many."""
        ...

    def flush(self) -> None:
        """See to it that what was taken outlives this process, where that means something."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...

    @property
    def result(self) -> Any:
        """What has become of all values, if they were made into something; else None."""
        ...


class _Plain:
    result: Any = None

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to close."""


class CollectSink(_Plain):
    """Puts values into a list, or whatever has `extend`, `update` or `append`.

    Args:
        into: the list; it is also the result.
    """

    def __init__(self, into: Any) -> None:
        self.result = into
        self._add = getattr(into, "extend", None) or getattr(into, "update", None)

    def take(self, values: list[Any]) -> int:
        """Take all."""
        assert self._add is not None
        self._add(values)
        return len(values)


class TypeSink(_Plain):
    """Makes a tuple, a set, a dict or the like of all values.

    Args:
        make: the type.
    """

    def __init__(self, make: Callable[[list[Any]], Any]) -> None:
        self._make = make
        self._values: list[Any] = []

    def take(self, values: list[Any]) -> int:
        """Take all."""
        self._values += values
        return len(values)

    @property
    def result(self) -> Any:
        """The tuple, set or dict."""
        return self._make(self._values)


class CallSink(_Plain):
    """Calls a function with each value.

    Args:
        function: the function; what it returns does not matter.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def take(self, values: list[Any]) -> int:
        """Take all."""
        function = self._function
        for value in values:
            function(value)
        return len(values)


class ReduceSink(_Plain):
    """Merges all values into one.

    Args:
        merge: called with what there is so far and a value; returns what there is then.
        initial: what there is before the first.
    """

    def __init__(self, merge: Callable[[Any, Any], Any], initial: Any) -> None:
        self._merge = merge
        self.result = initial

    def take(self, values: list[Any]) -> int:
        """Take all."""
        merge, result = self._merge, self.result
        for value in values:
            result = merge(result, value)
        self.result = result
        return len(values)


class FileSink(_Plain):
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


class QueueSink(_Plain):
    """Puts values into a queue; a full one holds up the pipeline.

    Args:
        queue: a queue of conveyor's, or of any other kind with `put(item, block, timeout)`.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._many = getattr(queue, "put_many", None)

    def take(self, values: list[Any]) -> int:
        """Take what there is room for."""
        if self._many is not None:
            try:
                self._many(values, block=False)
            except Full as full:
                return int(getattr(full, "items_put", 0))
            return len(values)
        for count, value in enumerate(values):
            try:
                self._queue.put(value, False)
            except Full:
                return count
        return len(values)


class EventSink(_Plain):
    """Hands values to whoever iterates over the run.

    Args:
        tell: takes a list of them.
    """

    def __init__(self, tell: Callable[[list[Any]], None]) -> None:
        self._tell = tell

    def take(self, values: list[Any]) -> int:
        """Take all."""
        self._tell(values)
        return len(values)


_COLLECTIONS: tuple[type, ...] = (list, tuple, set, frozenset, dict)


def check_target(target: Any) -> None:
    """Values can go there.

    Raises:
        PipelineError: they cannot.
    """
    if not isinstance(target, (str, Path)):
        make_sink(target)


def make_sink(target: Any, append: bool = False) -> Sink:
    """The sink that a user means.

    Raises:
        PipelineError: it is nothing that values can go to.
    """
    if isinstance(target, type) and (issubclass(target, _COLLECTIONS) or hasattr(target, "update")):
        if issubclass(target, list):
            return CollectSink(target())
        return TypeSink(target)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(target, (str, Path)) or (hasattr(target, "write") and not isinstance(target, type)):
        return FileSink(target, append)
    if callable(getattr(target, "put", None)):
        return QueueSink(target)
    if callable(getattr(target, "publish", None)):
        return CallSink(target.publish)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    if callable(getattr(target, "extend", None)) or callable(getattr(target, "update", None)):
        return CollectSink(target)
    if callable(target):
        return CallSink(target)
    raise PipelineError(
        f"results cannot go to a {type(target).__name__}, {target!r:.60}; "
        "give a list, a path, a file, a function, a queue, or list, set, dict"
    )
