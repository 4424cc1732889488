"""MergeNode: where several sources meet, and what each has goes on as it comes, by weight or by priority."""

from __future__ import annotations

from typing import Any

from .inlet import Inlet
from .node import ROOM, Node

__all__ = ["MergeNode"]


class MergeNode(Node):
    """Takes from its inputs in turn, as much as is wanted behind it; holds nothing.

    Args:
        stage: its name.
        inputs: where values come.
        weights: of each, how many it gives in a turn; None: as they come.
        priorities: of each; one gives nothing as long as one with a larger number has something. None: all have one.
    """

    def __init__(
        self,
        stage: str,
        inputs: list[Inlet],
        weights: tuple[int, ...] | None = None,
        priorities: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(stage)
        self._inputs = inputs
        self._exact = weights is not None or priorities is not None
        self._weights = dict(zip(inputs, weights or [1] * len(inputs), strict=True))
        self._credit = dict(self._weights)
        ranks = dict(zip(inputs, priorities or [0] * len(inputs), strict=True))
        self._ranked = [
            [one for one in inputs if ranks[one] == rank]
            for rank in sorted(set(ranks.values()), reverse=True)
        ]
        self._turn = 0
        self._values: list[Any] = []
        self._origins: list[Any] = []
        self._room = 0

    def demand(self) -> int:
        """As much as is wanted behind it."""
        assert self.outlet is not None
        return self.outlet.demand()

    def advance(self, now: float) -> bool:
        """Pass on what there is, as far as it is wanted."""
        if not any(one.held for one in self._inputs):
            return False
        self._room = min(self.demand(), ROOM)
        if self._room <= 0:
            return False
        if self._exact:
            for group in self._ranked:
                self._take_exactly(group, now)
        else:
            self._take_whatever()
        values, self._values = self._values, []
        origins, self._origins = self._origins, []
        self.taken += len(values)
        self.given += len(values)
        assert self.outlet is not None
        self.outlet.accept(values, origins or None)
        return True

    def _take(self, one: Inlet, most: int) -> int:
        values, origins = one.take(min(most, self._room))
        self._room -= len(values)
        self._values += values
        if origins is not None:
            self._origins += origins
        return len(values)

    def _take_whatever(self) -> None:
        """From each as much as from the others, as far as it is there; another one is the first each time."""
        self._turn += 1
        start = self._turn % len(self._inputs)
        while self._room and (
            some := [one for one in self._inputs[start:] + self._inputs[:start] if one.held]
        ):
            for left, one in zip(range(len(some), 0, -1), some, strict=True):
                self._take(one, -(-self._room // left))

    def _take_exactly(self, group: list[Inlet], now: float) -> None:
        """From each its weight in turn, and only then from those that have something."""
        empty: set[Inlet] = set()
        while self._room and len(empty) < len(group):
            one = next((one for one in group if self._credit[one] and one not in empty), None)
            if one is None:
                self._credit.update((one, self._weights[one]) for one in group)
                continue
            if not one.held and one.feeder is not None:
                one.feeder.look(now)
            if one.held:
                self._credit[one] -= self._take(one, self._credit[one])
            else:
                empty.add(one)

    @property
    def held_up(self) -> bool:
        """Whether there is something that is wanted."""
        return any(one.held for one in self._inputs) and self.demand() > 0

    def to_give(self) -> float:
        """Values that will come out, as far as that is known."""
        return sum(one.to_give() for one in self._inputs)
