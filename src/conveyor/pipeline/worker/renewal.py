"""Renewal: counts the items of a worker that may do so many, or have so much memory, and then is to be replaced."""

from __future__ import annotations

from collections.abc import Callable

from .status_writer import LapCounter, StatusWriter

__all__ = ["Renewal", "Worn"]

# A look at the memory takes some microseconds: not more often than so, that quick items stay quick. In that time
# a few megabytes can be filled at most.
_LOOK_SECONDS = 0.0002


class Worn(BaseException):
    """The worker is to be renewed.

    Args:
        took: nanoseconds of the last item, if that is worth telling, else 0.
    """

    def __init__(self, took: int) -> None:
        self.took = took


class Renewal:
    """A meter that ends the work between two items, when it is time to.

    Args:
        meter: what counts.
        max_items: after so many; None: any number.
        max_memory: when it has so many bytes to itself; None: any number.
        status_page: where that is known.
        now: the time.
    """

    def __init__(
        self,
        meter: LapCounter,
        max_items: int | None,
        max_memory: int | None,
        status_page: StatusWriter,
        now: Callable[[], float],
    ) -> None:
        self.idle, self.begin, self.pause = meter.idle, meter.begin, meter.pause
        self._lap = meter.lap
        self.left = max_items if max_items is not None else -1
        self._max_memory = max_memory
        self._memory = status_page.memory
        self._now = now
        self._looked = 0.0

    def lap(self) -> int:
        """The current item is done; see `LapCounter`.

        Raises:
            Worn: it was the last.
        """
        took = self._lap()
        self.left -= 1
        if not self.left or (self._max_memory is not None and self._is_too_large(self._max_memory)):
            self.idle()
            raise Worn(took)
        return took

    def _is_too_large(self, most: int) -> bool:
        now = self._now()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        return self._memory() > most
