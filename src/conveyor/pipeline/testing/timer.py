"""Timer: something that is done at a chosen moment of a simulated run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .turns import Turns

__all__ = ["Timer"]


class Timer:
    """Acts once.

    Args:
        world: where.
        due: when.
        action: what is done.
    """

    def __init__(self, world: Turns, due: float, action: Callable[[], object]) -> None:
        self._world = world
        self.due = due
        self._action = action
        world.agents.append(self)

    def act(self) -> None:
        """Do it."""
        self._world.moved()
        self._world.agents.remove(self)
        self._action()
