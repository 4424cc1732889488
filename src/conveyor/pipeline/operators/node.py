"""Node: what a running pipeline is made of; each stands between those that feed it and those that it feeds."""

from __future__ import annotations

from typing import Any, TypeAlias

from ..base.failure import Failure

__all__ = ["ROOM", "Node", "Origins"]

ROOM = 4096
"""What a node that needs no worker takes at once."""

Origins: TypeAlias = "list[Any] | None"
"""For each of some values, what of the source it came of; None: nobody keeps account of that."""


class Node:
    """A step of a run. Values are pushed into it while it `demand` some, and it pushes on what it makes of them.

    Args:
        stage: its name, for people.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.outlet: Node | None = None
        self.inlets = 0
        """How many nodes feed it and have not ended."""
        self.feeder: Node | None = None
        """The node that feeds it, if only one does."""
        self.ended = False
        """Whether those behind it have been told that nothing more will come."""
        self.abandoned = False
        """Whether nobody wants anything more of it, so that the run ends without it."""
        self.taken: int = 0
        """Values pushed into it."""
        self.given: int = 0
        """Values that it pushed on."""
        self._out: list[Any] = []
        self._at = 0  # what of it is gone
        self._out_origins: Origins = None

    # -- for the node before -------------------------------------------------------------------------

    def demand(self) -> int:
        """How many values it would take now."""
        raise NotImplementedError

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take these values, not more than `demand` says; the lists are the node's from now on."""
        raise NotImplementedError

    passes_failures = False
    """Whether `Failure`s may come, which are not for this node."""

    def accept(self, values: list[Any], origins: Origins) -> None:
        """Take values, and let failures of earlier stages pass."""
        if not self.passes_failures or Failure not in set(map(type, values)):
            self.push(values, origins)
            return
        start = 0
        for stop in range(1, len(values) + 1):
            is_failure = type(values[start]) is Failure
            if stop < len(values) and (type(values[stop]) is Failure) == is_failure:
                continue
            (self.pass_by if is_failure else self.push)(
                values[start:stop], None if origins is None else origins[start:stop]
            )
            start = stop

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """Failures of earlier stages go on as they are."""
        self._emit(failures, origins)

    def inlet_ended(self) -> None:
        """A node that feeds this one has ended."""
        self.inlets -= 1

    def to_give(self) -> float:
        """Values that it will push on, as far as that is known; infinity if not."""
        return float("inf")

    def coming(self) -> float:
        """Values that will be pushed into it, as far as that is known; infinity if not."""
        return 0 if not self.inlets else float("inf") if self.feeder is None else self.feeder.to_give()

    def outlets(self) -> list[Node]:
        """The nodes that it feeds."""
        return [] if self.outlet is None else [self.outlet]

    # -- for the engine ---------------------------------------------------------------------------------

    def advance(self, now: float) -> bool:
        """Do what can be done without waiting; returns whether anything was done."""
        return self._pass_on()

    def look(self, now: float) -> None:
        """Bring what is there now, asked by the node behind it, which has nothing left."""
        self.advance(now)

    @property
    def held(self) -> int:
        """Values in it: taken, and not gone."""
        return len(self._out) - self._at

    @property
    def done(self) -> bool:
        """Whether it has nothing left, and nothing will come."""
        return self.inlets == 0 and self.held == 0

    def close_input(self) -> None:
        """Take in nothing more from outside. Safe in a signal handler."""

    def close(self) -> None:
        """The run is over."""

    def deadline(self) -> float | None:
        """When it wants to be advanced though nothing happens, by `time.monotonic`."""
        return None

    # -- for subclasses ----------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the node behind it takes no more for now."""
        return bool(self._out)

    @property
    def held_up(self) -> bool:
        """Whether it has something that it could move on, if there were room behind it."""
        return bool(self._out)

    def _emit(self, values: list[Any], origins: Origins) -> None:
        """Push these on, now or when they are wanted."""
        if not values:
            return
        if self._out:
            self._out = self._out[self._at :] + values
            if self._out_origins is not None and origins is not None:
                self._out_origins = self._out_origins[self._at :] + origins
        else:
            self._out, self._out_origins = values, origins
        self._at = 0

    def _pass_on(self) -> bool:
        if not self._out:
            return False
        outlet = self.outlet
        assert outlet is not None
        most = outlet.demand()
        if most <= 0:
            return False
        values, origins = self._out, self._out_origins
        at = self._at
        if at == 0 and most >= len(values):
            self._out, self._out_origins = [], None
        else:
            values = values[at : at + most]
            if origins is not None:
                origins = origins[at : at + most]
            self._at = at + len(values)
            if self._at == len(self._out):
                self._out, self._out_origins, self._at = [], None, 0
        self.given += len(values)
        outlet.accept(values, origins)
        return True
