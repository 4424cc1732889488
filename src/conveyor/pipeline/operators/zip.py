"""ZipNode: where several sources meet, and one value of each makes a tuple."""

from __future__ import annotations

from typing import Any

from ..base.failure import Failure
from ..flow.lineage import Lineage
from ..supervise.engine_context import EngineContext
from .inlet import Inlet
from .node import ROOM, Node
from .source import SourceNode
from .work import WorkNode

__all__ = ["ZipNode"]


class ZipNode(Node):
    """Makes tuples of what its inputs have, as many as are wanted behind it; holds nothing.

    Args:
        stage: its name.
        inputs: where values come.
        before: all nodes from which something may come to them.
        strict: whether all must have as many.
        context: the engine.
    """

    def __init__(
        self, stage: str, inputs: list[Inlet], before: list[Node], strict: bool, context: EngineContext
    ) -> None:
        super().__init__(stage)
        self._inputs = inputs
        self._before = before
        self._strict = strict
        self._context = context
        self._over = False

    def demand(self) -> int:
        """As much as is wanted behind it."""
        assert self.outlet is not None
        return self.outlet.demand()

    def advance(self, now: float) -> bool:
        """Pass on the tuples that are whole, as far as they are wanted; end with the first input that does."""
        if self._over:
            return False
        count = min(one.held for one in self._inputs)
        count = min(count, self.demand(), ROOM) if count else 0
        if count > 0:
            self._pass_on_tuples(count)
        return self._look_for_the_end() or count > 0

    def _pass_on_tuples(self, count: int) -> None:
        columns = [one.take(count) for one in self._inputs]
        values: list[Any] = list(zip(*(column for column, _ in columns), strict=True))
        traces = [origins for _, origins in columns if origins is not None]
        origins: list[Any] | None = (
            [Lineage(list(some)) for some in zip(*traces, strict=True)] if traces else None
        )
        if any(Failure in set(map(type, column)) for column, _ in columns):
            values, origins = _let_failures_pass(values, origins)
        self.taken += count
        self.given += len(values)
        assert self.outlet is not None
        self.outlet.accept(values, origins)

    def _look_for_the_end(self) -> bool:
        ended = [one for one in self._inputs if one.has_ended]
        if not ended:
            return False
        cut_short = any(isinstance(node, SourceNode) and node.is_cut_short for node in self._before)
        if self._strict and len(ended) < len(self._inputs) and not cut_short:
            longer = next((one for one in self._inputs if one.held), None)
            if longer is None:
                return False  # it may still bring something
            text = (
                f"stage {self.stage!r} is strict, and {ended[0].stage!r} ended after {ended[0].given:,} items"
            )
            self._context.fail_after(ValueError(f"{text}, while {longer.stage!r} has more"))
        self._over = True
        for node in self._before:
            node.abandoned = True
            node.close_input()
            if isinstance(node, WorkNode):
                node.cut()
        for one in self._inputs:
            one.discard()
        return True

    @property
    def done(self) -> bool:
        """Whether there will be no more tuples."""
        return self._over

    @property
    def held_up(self) -> bool:
        """Whether there is a tuple that is wanted."""
        return not self._over and all(one.held for one in self._inputs) and self.demand() > 0

    def to_give(self) -> float:
        """Tuples that will come out, as far as that is known."""
        return 0 if self._over else min(one.to_give() for one in self._inputs)


def _let_failures_pass(values: list[Any], origins: list[Any] | None) -> tuple[list[Any], list[Any] | None]:
    """The failures in a tuple take its place."""
    kept: list[Any] = []
    whose: list[Any] = []
    for number, value in enumerate(values):
        failures = [one for one in value if type(one) is Failure]
        kept += failures or [value]
        if origins is not None:
            origins[number].live = len(failures) or 1
            whose += [origins[number]] * (len(failures) or 1)
    return kept, None if origins is None else whose
