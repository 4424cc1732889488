"""SplitNode: sends each value down one of several branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import PipelineError
from ..supervise.engine_context import EngineContext
from .node import Node, Origins

__all__ = ["SplitNode"]


class SplitNode(Node):
    """Sends each value to one of several branches.

    Args:
        stage: its name.
        by: of a value, which branch it belongs to.
        branches: their first nodes.
        otherwise: the branch of all other values; None: a value of no branch is an error.
        context: the engine.
    """

    def __init__(
        self,
        stage: str,
        by: Callable[[Any], Any],
        branches: dict[Any, Node],
        otherwise: Node | None,
        context: EngineContext,
    ) -> None:
        super().__init__(stage)
        self._by = by
        self._context = context
        self.heads: list[Node] = []
        self.open(branches, otherwise)

    def open(self, branches: dict[Any, Node], otherwise: Node | None) -> None:
        """Say where the branches begin."""
        self._branches = branches
        self._otherwise = otherwise
        self.heads = [*branches.values(), *([] if otherwise is None else [otherwise])]

    def demand(self) -> int:
        """As much as any branch would take: nobody knows which it will be."""
        return min(head.demand() for head in self.heads)

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        parts: dict[int, tuple[Node, list[Any], list[Any]]] = {}
        for index, value in enumerate(values):
            try:
                name = self._by(value)
                head = self._branches.get(name, self._otherwise)
            except Exception as error:
                error.add_note(f"in stage {self.stage!r} on {value!r:.200}")
                self._context.fail(error)
                return
            if head is None:
                known = ", ".join(map(repr, self._branches))
                text = f"stage {self.stage!r} got {name!r} for {value!r:.60}, and its branches are {known}; "
                self._context.fail(PipelineError(text + "say otherwise= for all the rest"))
                return
            part = parts.setdefault(id(head), (head, [], []))
            part[1].append(value)
            if origins is not None:
                part[2].append(origins[index])
        for head, some, whose in parts.values():
            self.given += len(some)
            head.accept(some, None if origins is None else whose)

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """They belong to no branch, so any will do."""
        self.heads[0].accept(failures, origins)

    def outlets(self) -> list[Node]:
        """The branches."""
        return self.heads

    def advance(self, now: float) -> bool:
        """Nothing is held here."""
        return False
