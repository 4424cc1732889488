"""TeeNode: shows values to a sink, and passes them on."""

from __future__ import annotations

from typing import Any

from ..sinks.sink import Sink
from ..supervise.engine_context import EngineContext
from .deferral import Deferral
from .node import ROOM, Node, Origins

__all__ = ["TeeNode"]


class TeeNode(Node):
    """Shows each value to somebody, and passes it on.

    Args:
        stage: its name.
        sink: who sees the values.
        context: the engine.
    """

    def __init__(self, stage: str, sink: Sink, context: EngineContext) -> None:
        super().__init__(stage)
        self.sink = sink
        self._context = context
        self._unseen: list[Any] = []
        self._unseen_origins: Origins = None
        self.spent = 0.0
        """Seconds in which values were shown, or could not be."""
        self._full_since = 0.0
        self._broken: Exception | None = None  # it raised that, and is not called again
        self.deferral: Deferral | None = None
        """Where values wait until they may be written; None: they are written as they come."""

    def demand(self) -> int:
        """Whatever there is, unless somebody is slow."""
        return 0 if self.blocked or self._unseen else ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        assert not self._unseen, "it was pushed more than it wants"
        self._unseen, self._unseen_origins = values, origins
        self._show()

    def _show(self) -> bool:
        if self._broken is not None:
            return False
        values, origins = self._unseen, self._unseen_origins
        since = self._full_since or self._context.now()
        if self.deferral is not None and origins is not None:
            self.deferral.keep(self, values, origins)
            count = len(values)
        else:
            try:
                count = self._take(values)
            except Exception as error:
                self._context.fail(error)
                return False
        now = self._context.now()
        self.spent += now - since
        self._full_since = now if count < len(values) else 0.0
        self._unseen = values[count:]
        self._unseen_origins = None if origins is None else origins[count:]
        self._seen(values[:count], None if origins is None else origins[:count])
        if self.deferral is not None:
            try:
                self.deferral.write(self)
            except Exception as error:
                self._context.fail(error)
        return count > 0

    def _take(self, values: list[Any]) -> int:
        try:
            return self.sink.take(values)
        except Exception as error:
            self._broken = error
            error.add_note(f"in stage {self.stage!r}")
            raise

    def write(self, values: list[Any]) -> None:
        """Have the sink take these values, all of them, which were kept back.

        Raises:
            Exception: what it raised, now or before.
        """
        if self._broken is not None:
            raise self._broken
        before = self._context.now()
        self._take(values)
        self.spent += self._context.now() - before

    def _seen(self, values: list[Any], origins: Origins) -> None:
        self._emit(values, origins)

    def advance(self, now: float) -> bool:
        """Show what is left, pass on the rest."""
        shown = bool(self._unseen or self.sink.pending) and self._show()
        return self._pass_on() or shown

    @property
    def held(self) -> int:
        """Values that wait."""
        return super().held + len(self._unseen) + (0 if self._broken is not None else self.sink.pending)

    @property
    def held_up(self) -> bool:
        """Whether values wait."""
        return bool(self._out or self._unseen)

    def deadline(self) -> float | None:
        """A full queue does not tell when it has room, nor a broker when all is there."""
        waits = self._unseen or (self.sink.pending and self._broken is None and not self.inlets)
        return self._context.now() + 0.005 if waits else None
