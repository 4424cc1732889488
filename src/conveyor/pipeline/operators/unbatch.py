"""UnbatchNode: takes lists apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ...errors import PipelineError
from ..supervise.engine_context import EngineContext
from .node import ROOM, Node, Origins

__all__ = ["UnbatchNode"]


class UnbatchNode(Node):
    """Takes lists apart, or whatever else can be iterated, as far as the node behind it wants: it may have no end."""

    def __init__(self, stage: str, context: EngineContext) -> None:
        super().__init__(stage)
        self._context = context
        self._lists: deque[tuple[Iterator[Any], Any]] = deque()  # what is left of each, and its origin
        self._traced = False  # whether somebody keeps account of origins

    def demand(self) -> int:
        """A few lists, when all is gone: they may be long."""
        return 0 if self.blocked or self._lists else 16

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take lists."""
        self.taken += len(values)
        self._traced = origins is not None
        for index, value in enumerate(values):
            try:
                some = iter(value)
            except TypeError:
                text = (
                    f"stage {self.stage!r} got a {type(value).__name__}, {value!r:.60}; it takes lists apart"
                )
                self._fail(PipelineError(text))
                return
            self._lists.append((some, None if origins is None else origins[index]))
        self._spread()

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """In their turn, behind the values of the lists that came before them."""
        self._traced = origins is not None
        whose = [None] * len(failures) if origins is None else origins
        self._lists += ((iter((failure,)), origin) for failure, origin in zip(failures, whose, strict=True))
        self._spread()

    def _spread(self) -> bool:
        if self.blocked or not self._lists:
            return False
        out: list[Any] = []
        whose: list[Any] = []
        while self._lists and len(out) < ROOM:
            some, origin = self._lists[0]
            asked = ROOM - len(out)
            try:
                part = list(islice(some, asked))
            except Exception as error:
                error.add_note(f"in stage {self.stage!r}, in iterating what it got")
                self._fail(error)
                return True
            out += part
            rest = len(part) == asked  # which counts as one until it is known
            if not rest:
                self._lists.popleft()
            if self._traced:
                whose += [origin] * len(part)
                self._context.fanned_out(origin, len(part) + rest)
        self._emit(out, whose if self._traced else None)
        return True

    def _fail(self, error: Exception) -> None:
        self._lists.clear()
        self._context.fail(error)

    def advance(self, now: float) -> bool:
        """Pass on what there is, and take apart some more."""
        passed = self._pass_on()
        return self._spread() or passed

    @property
    def held(self) -> int:
        """Values that wait, and lists that are not taken apart to their end."""
        return super().held + len(self._lists)

    @property
    def held_up(self) -> bool:
        """Whether there is anything."""
        return bool(self._out or self._lists)
