"""Deferral: what came of an item is written when all of it is there, so that a resumed run writes nothing twice."""

from __future__ import annotations

from typing import Any, Protocol

from .node import Origins

__all__ = ["Deferral"]

# Of an item with more results they are written as they come: of one that has no end, too.
_MOST = 100_000


class _Writer(Protocol):
    def write(self, values: list[Any]) -> None:
        """Hand them to its sink, all of them.

        Raises:
            Exception: what the sink raised.
        """
        ...


class Deferral:
    """Keeps values back until the item of the source that they came of is done.

    A state file says which items are done, and how far each file was then. Were a file further by some results of an
    item that is not done, these would be there a second time after the item was done again.

    What came of several items together, by a batch, waits for what else came of that batch; if some of its items are
    not done then, it is written twice after all.
    """

    def __init__(self) -> None:
        self._held: dict[Any, list[tuple[_Writer, Any]]] = {}
        self._ready: dict[_Writer, list[Any]] = {}
        self._error: Exception | None = None

    def keep(self, writer: _Writer, values: list[Any], origins: Origins) -> None:
        """Values have come to a sink."""
        assert origins is not None
        held = self._held
        for value, origin in zip(values, origins, strict=True):
            waiting = held.get(origin)
            if waiting is None:
                held[origin] = [(writer, value)]
            else:
                waiting.append((writer, value))
                if len(waiting) >= _MOST:
                    self.release(origin)

    def release(self, origin: Any) -> None:
        """All that came of it is there."""
        for writer, value in self._held.pop(origin, ()):
            self._ready.setdefault(writer, []).append(value)

    def write(self, writer: _Writer) -> None:
        """Have a sink take what is released for it.

        Raises:
            Exception: what it raised.
        """
        values = self._ready.pop(writer, None)
        if values:
            try:
                writer.write(values)
            except Exception as error:
                self._error = self._error or error
                raise

    def write_all(self) -> None:
        """Have all sinks take what is released for them.

        Raises:
            Exception: what one of them raised, now or before: what is done must not be noted down then.
        """
        while self._ready:
            self.write(next(iter(self._ready)))
        if self._error is not None:
            raise self._error
