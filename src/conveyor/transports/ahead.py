"""How many items a consumer has sent to it before it asks for them."""

from __future__ import annotations

__all__ = ["REST_SECONDS", "Ahead"]

REST_SECONDS = 0.05
"""Who has not asked for so long gets nothing ahead, and what was not handed out goes back to the broker."""
_QUICK_SECONDS = 0.01
"""Who asks again within this time of the last item really takes."""
_QUICK_TIMES = 2
_FIRST, _MOST = 32, 512
# What lies ahead is used up within about this time, or it is too much: others might wait for it.
_SHORT_SECONDS, _LONG_SECONDS = 0.025, 0.1


class Ahead:
    """Follows what one consumer takes, and says how much should lie ready for it.

    Nothing, until it has asked quickly a few times; then more, as long as it is used up within a moment. So who takes
    as fast as it can never waits for the broker, and who works on an item for long keeps none from others. What the
    broker makes it wait is not its own time: beside a slow broker more should lie ready, not less.

    All times are of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._size = 0
        self._last = float("-inf")
        self._streak = 0
        self._since = 0.0
        self._asked = 0.0
        self._taken = 0

    def asked(self, most: int, now: float) -> int:
        """It wants so many items now; how many should be ready or on their way, 0 for none but those it wants."""
        self._asked = now
        if now - self._last > _QUICK_SECONDS:
            self._streak = 0
            return self._size
        self._streak += 1
        if self._streak >= _QUICK_TIMES:
            least = max(_FIRST, min(2 * most, 4 * _MOST))
            if self._size < least and (not self._size or most > 1):
                self._size = least
                self._since, self._taken = now, 0
        return self._size

    def took(self, count: int, now: float) -> None:
        """It has got so many."""
        if not count:
            return
        self._last = now
        self._since += now - self._asked
        self._asked = now
        self._taken += count
        if self._size and self._taken >= self._size:
            seconds = now - self._since
            if seconds < _SHORT_SECONDS and self._size < _MOST:
                self._size *= 2
            elif seconds > _LONG_SECONDS and self._size > 1:
                self._size //= 2
            self._since, self._taken = now, 0

    def rest(self) -> None:
        """It asks no more, or waits for long: nothing should lie ready."""
        self._size = self._streak = 0
