"""SimulatedPoller: what a run waits by in a simulated world; while it waits, others act and time passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .turns import Turns

__all__ = ["SimulatedPoller"]

# A wait for nothing but what has happened already still takes a moment.
_MOMENT = 1e-6


class SimulatedPoller:
    """Tells of results, deaths and wake-ups.

    Args:
        world: whose.
    """

    def __init__(self, world: Turns) -> None:
        self._world = world
        self._deaths: dict[Any, Any] = {}
        self._quiet: set[Any] = set()
        self._woken = False

    def add(self, results: Any, death: Any) -> None:
        """Watch a worker."""
        self._deaths[results] = death

    def remove(self, results: Any, death: Any) -> None:
        """Watch a worker no more."""
        del self._deaths[results]
        self._quiet.discard(results)

    def listen(self, results: Any, wanted: bool) -> None:
        """Say whether results there are wanted now."""
        (self._quiet.discard if wanted else self._quiet.add)(results)

    def set_sources(self, fds: set[int]) -> None:
        """Sources of a simulated world have no descriptors."""
        assert not fds, "the world makes the sources"

    def _found(self, urgent: bool = False) -> set[Any]:
        found: set[Any] = set()
        watched = self._world.watched
        for results, death in self._deaths.items():
            agent = watched[results]
            if agent.results and not urgent and results not in self._quiet:
                found.add(results)
            if agent.ended:
                found.add(death)
        return found

    def pause(self, seconds: float) -> None:
        """Let time pass; a death or a wake-up ends it early."""
        self._wait(seconds, urgent=True)

    def wait(self, seconds: float) -> set[Any]:
        """What something happened to, within that time."""
        return self._wait(seconds, urgent=False)

    def _wait(self, seconds: float, urgent: bool) -> set[Any]:
        world = self._world
        world.look()
        until = world.time + max(seconds, _MOMENT)
        while True:
            found = self._found(urgent)
            if (found or self._woken) and not world.fate.stays():
                break
            if not world.step(until):
                found = self._found(urgent)
                break
        self._woken = False
        return found

    def wake(self) -> None:
        """End a wait at once."""
        self._woken = True

    def close(self) -> None:
        """Nothing is held."""
