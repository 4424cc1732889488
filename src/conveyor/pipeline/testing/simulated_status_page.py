"""SimulatedStatusPage: the figures of a simulated worker, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

from ..worker.identity_words import IdentityWords
from ..worker.status_page import STEPS, StatusPage

__all__ = ["SimulatedStatusPage"]

_NANO = 1_000_000_000


class SimulatedStatusPage(StatusPage):
    """A status page without shared memory.

    Args:
        now: the time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        # No mapping: what `StatusPage` reads there is kept in the attributes below.
        self._now = now
        self._since = self._setup_since = self._teardown_since = self._last = 0.0
        self._busy = self._waited = self._items = self._above = self._position = 0
        self._attempt = (-1, 0)
        self._arrived = self._is_unwanted = False
        self._steps: dict[int, int] = {}
        self.identity = IdentityWords([0, 0, 0, 0])
        self.memory = lambda: 0

    # -- what the engine reads and writes -----------------------------------------------------------------

    @property
    def since(self) -> float:
        """When the current item was begun; 0: none is."""
        return self._since

    @property
    def busy(self) -> int:
        """Nanoseconds spent on items."""
        return self._busy

    @property
    def waited(self) -> int:
        """Nanoseconds without an item."""
        return self._waited

    @property
    def items(self) -> int:
        """Items finished."""
        return self._items

    @property
    def link(self) -> int:
        """Which of the worker's functions is at work, from 0."""
        return self._position

    def attempts(self, finished: int) -> int:
        """How often the worker has begun the item that it had after so many."""
        before, number = self._attempt
        return number if before == finished else 1

    @property
    def arrived(self) -> bool:
        """Whether the worker has come so far as to run conveyor's code."""
        return self._arrived

    @property
    def setup_since(self) -> float:
        """When its setup began; 0: it has not begun, or is done."""
        return self._setup_since

    @property
    def teardown_since(self) -> float:
        """When its teardown began; 0: it has not."""
        return self._teardown_since

    @property
    def unwanted(self) -> bool:
        """Whether nobody wants what else comes of the current item."""
        return self._is_unwanted

    def tell_above(self, nanoseconds: int) -> None:
        """Have the worker tell of items that take longer."""
        self._above = nanoseconds

    def tell_unwanted(self) -> None:
        """Have the worker leave its item if that has very many results."""
        self._is_unwanted = True

    def histogram(self) -> list[int]:
        """How many items took how long."""
        counts = [0] * STEPS
        for step, count in self._steps.items():
            counts[step] = count
        return counts

    def crash(self, most: int = 3) -> tuple[str, ...]:
        """No native code crashes here."""
        return ()

    def close(self) -> None:
        """Nothing is held."""

    # -- what the worker writes ---------------------------------------------------------------------------

    def arrive(self) -> None:
        """The worker runs conveyor's code."""
        self._arrived = True

    def note_setup(self, begins: bool) -> None:
        """Its setup begins, or is done."""
        self._setup_since = self._now() if begins else 0.0

    def note_teardown(self) -> None:
        """Its teardown begins."""
        self._teardown_since = self._now()

    def note_link(self, position: int) -> None:
        """Say which function is at work."""
        self._position = position

    def note_attempt(self, number: int) -> None:
        """Say how often it has begun the current item."""
        self._attempt = (self._items, number)

    def idle(self) -> None:
        """There is no current item."""
        self._since = 0.0

    def begin(self) -> None:
        """An item has come after a wait."""
        now = self._now()
        self._waited += int((now - self._last) * _NANO) if self._last else 0
        self._since = self._last = now

    def pause(self) -> None:
        """The current item is put aside, until `begin`."""
        now = self._now()
        self._busy += int((now - self._last) * _NANO)
        self._since, self._last = 0.0, now

    def end_item(self, began: float, ended: float) -> None:
        """The current item is done, and the next is begun."""
        took = max(int((ended - began) * _NANO), 0)
        self._since = self._last = self._now()
        self._busy += took
        self._items += 1
        step = 0
        if took >= 4:
            power = took.bit_length() - 1
            step = power * 4 + ((took >> (power - 2)) & 3)
        self._steps[step] = self._steps.get(step, 0) + 1

    def is_slow(self, seconds: float) -> int:
        """The nanoseconds that an item took, if that is worth telling, else 0."""
        took = int(seconds * _NANO)
        return took if took > self._above else 0
