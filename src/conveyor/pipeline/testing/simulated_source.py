"""SimulatedSource: the items of a source that come one after another, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..sources.buffered import BufferedSource

if TYPE_CHECKING:
    from .turns import Turns

__all__ = ["SimulatedSource"]

_NEVER = float("inf")


class SimulatedSource(BufferedSource):
    """What a source brings that may block, such as a generator: read by an actor of its own, no further than is wanted.

    Args:
        world: where it is.
        items: the iterable.
        wake: called when there are items again, and at the end.
        pause: makes the seconds until the next item.
    """

    def __init__(
        self,
        world: Turns,
        items: Iterable[Any],
        wake: Callable[[], None],
        pause: Callable[[], float],
    ) -> None:
        super().__init__(wake)
        self._world = world
        self._iterator = iter(items)
        self._pause = pause
        self._closed = False
        self.due = _NEVER
        """When it brings the next item; infinity: when one is wanted."""
        world.agents.append(self)

    def fill(self, want: int) -> None:
        """Have so many items fetched; what the iterable raised comes after what it gave."""
        self._raise()
        self._wanted = want
        if self.due == _NEVER and not (self._ended or self._closed) and len(self._items) < want:
            self.due = self._world.time + self._pause()
            self.fetching = True

    def act(self) -> None:
        """Bring an item."""
        self._world.moved()
        self.due = _NEVER
        self.fetching = False
        try:
            item = next(self._iterator)
        except StopIteration:
            self._end()
        except BaseException as error:
            self._end(error)
        else:
            if len(self._items) + 1 < self._wanted and not self._closed:
                self.due = self._world.time + self._pause()
                self.fetching = True
            self._put(item)

    def stop(self) -> None:
        """Begin to fetch nothing more."""
        self._closed = True
        if not self.fetching:
            self.due = _NEVER

    def close(self) -> None:
        """Nothing more is wanted."""
        self.due = _NEVER
        self.fetching = False
        self._ended = True
        if self in self._world.agents:
            self._world.agents.remove(self)
