"""LoopEntry: where values come into a loop, from before it and from its end."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ...errors import PipelineError
from ..supervise.engine_context import EngineContext
from .node import ROOM, Node, Origins
from .waiting_list import WaitingList

__all__ = ["LoopEntry"]


class LoopEntry(Node):
    """Passes on what comes from before the loop, and before that what is to go through it once more.

    What comes back waits here, however much it is: so nothing inside the loop ever waits for room at its beginning. New
    values are taken only when less waits than the loop wants. It ends when nothing will come from before, nothing
    waits, and nothing is in the loop.

    Args:
        stage: its name.
        key: of a value; one with a key that was seen before is left out. None: all go on.
        context: the engine.
    """

    def __init__(self, stage: str, key: Callable[[Any], Hashable] | None, context: EngineContext) -> None:
        super().__init__(stage)
        self._key = key
        self._context = context
        self._seen: set[Hashable] = set()
        self._closed = False
        self.waiting = WaitingList()
        """What is to go through the loop once more."""
        self.body: list[Node] = []
        """The nodes inside the loop."""
        self.left_out = 0
        """Values whose key had been seen."""

    def demand(self) -> int:
        """What the loop wants, beyond what waits here."""
        assert self.outlet is not None
        return 0 if self.blocked else max(min(self.outlet.demand(), ROOM) - len(self.waiting), 0)

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values from before the loop."""
        self.taken += len(values)
        self._emit(*self._unseen(values, origins))

    def feed(self, values: list[Any], origins: Origins) -> None:
        """Take values from the end of the loop. When no more input is wanted, they are dropped, and not dealt with."""
        if self.ended and values and not self._closed:
            text = f"stage {self.stage!r} has ended, and a teardown() in it gave Again({values[0]!r:.60})"
            self._context.fail(
                PipelineError(f"{text}; give it for an item, or let what is behind the loop have it")
            )
        elif not self._closed:
            self.taken += len(values)
            self.waiting.add(*self._unseen(values, origins))

    def _unseen(self, values: list[Any], origins: Origins) -> tuple[list[Any], Origins]:
        if self._key is None:
            return values, origins
        fresh: list[Any] = []
        whose: list[Any] = []
        for number, value in enumerate(values):
            try:
                key = self._key(value)
                is_seen = key in self._seen
            except Exception as error:
                error.add_note(f"in stage {self.stage!r}, where unique= is asked of {value!r:.200}")
                self._context.fail(error)
                return [], None
            if is_seen:
                self.left_out += 1
                if origins is not None:
                    self._context.fanned_out(origins[number], 0)
                continue
            self._seen.add(key)
            fresh.append(value)
            if origins is not None:
                whose.append(origins[number])
        return fresh, None if origins is None else whose

    def advance(self, now: float) -> bool:
        """Pass on what is wanted: what has come back, and then what is new."""
        if self._closed and self.waiting:
            self.waiting.clear()
        moved = False
        while self.waiting and not self.blocked:
            assert self.outlet is not None
            most = self.outlet.demand()
            if most <= 0:
                break
            values, origins = self.waiting.take(most)
            self.given += len(values)
            self.outlet.accept(values, origins)
            moved = True
        return self._pass_on() or moved

    def close_input(self) -> None:
        """Begin no further round: what is in the loop goes on to its end, once."""
        self._closed = True

    def close(self) -> None:
        """Let go of the files in which values wait."""
        self.waiting.clear()

    @property
    def held(self) -> int:
        """Values that wait."""
        return super().held + (0 if self._closed else len(self.waiting))

    @property
    def held_up(self) -> bool:
        """Whether values wait."""
        return bool(self._out or self.waiting)

    @property
    def done(self) -> bool:
        """Whether nothing will come, from before or from the loop itself."""
        if self.inlets or self.held:
            return False
        return self._closed or self.ended or not any(node.held for node in self.body)
