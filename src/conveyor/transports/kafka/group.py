"""What the handles of a URL want of the group of its consumers."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from ..port import Delivery
from .member import JOIN_SECONDS, Member
from .window import Item

__all__ = ["Group"]


class Group(Member):
    """The items that this process has of a queue: one for all handles of a URL. Any thread may call it."""

    def take(self, most: int, wait: float, lease: bool, to_the_end: bool) -> list[Delivery]:
        """Items that are here, or come within `wait` seconds.

        Args:
            lease: whether they come back.
            to_the_end: say that there are none only if the broker has none for us.
        """
        until = monotonic() + wait
        with self._changed:
            self._waiters += 1
            try:
                while True:
                    found = self._take(most, lease)
                    left = until - monotonic()
                    if found or left <= 0:
                        break
                    self._commits.asked.notify()
                    self._changed.wait(left)
            finally:
                self._waiters -= 1
                self._used_at = monotonic()
        if not found and to_the_end:
            found = self._catch_up(most, lease)
        return found

    def _take(self, most: int, lease: bool) -> list[Delivery]:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        found: list[Delivery] = []
        if self._is_behind and self._has_room():
            self._commits.asked.notify()
        windows = list(self._windows.values())
        self._turn += 1
        for place in range(len(windows)):
            window = windows[(place + self._turn) % len(windows)]
            some = window.take(most - len(found), lease)
            if some:
                self._commits.dirty.add(window)
                found += some
                if len(found) >= most:
                    break
        return found

    def _catch_up(self, most: int, lease: bool) -> list[Delivery]:
        """Wait until it is known what is ours, and all of that has come."""
        until = monotonic() + JOIN_SECONDS
        with self._changed:
            self._waiters += 1
            if not self._is_member:
                self._commits.asked.notify()
            try:
                while not self._was_told and monotonic() < until:
                    self._changed.wait(until - monotonic())
                windows = list(self._windows.values())
            finally:
                self._waiters -= 1
        if not windows:
            return []
        bounds = self._client.bounds(self._topic, [window.partition for window in windows])
        with self._changed:
            self._waiters += 1
            try:
                while True:
                    found = self._take(most, lease)
                    behind = any(
                        window.is_ours and window.next < bounds[window.partition][1] for window in windows
                    )
                    left = until - monotonic()
                    if found or not behind or left <= 0:
                        return found
                    self._commits.asked.notify()
                    self._changed.wait(left)
            finally:
                self._waiters -= 1
                self._used_at = monotonic()

    def settle(self, items: Sequence[Item]) -> list[Item]:
        """They are done with; those that are lost."""
        with self._changed:
            touched = [(item, item.window.settle(item)) for item in items]
        return self._told(touched)

    def put_back(self, items: Sequence[Item], counted: bool, error: str) -> list[Item]:
        """They wait again, the first of them first; those that are lost."""
        with self._changed:
            touched = [(item, item.window.put_back(item, counted, error)) for item in reversed(items)]
        return self._told(touched)

    def _told(self, touched: list[tuple[Item, bool]]) -> list[Item]:
        """Once the broker knows of it: those that are lost."""
        windows = {item.window for item, done in touched if done}
        with self._changed:
            wanted = {window: window.revision for window in windows}
            self._commits.dirty |= {window for window in windows if window.is_ours}
            self._changed.notify_all()
        if wanted:
            self._commits.flush()
        return [
            item
            for item, done in touched
            if not done or (not item.window.is_ours and item.window.durable < wanted[item.window])
        ]

    def undo_leases(self, items: Sequence[Item]) -> None:
        """They wait as before: the broker could not be told that they are leased."""
        with self._changed:
            for item in reversed(items):
                item.window.put_back(item, False, item.error)

    def drop_waiting(self) -> None:
        """All that waits here is settled."""
        with self._changed:
            for window in self._windows.values():
                window.drop_waiting()
                self._commits.dirty.add(window)
        self._commits.flush()

    def flush(self) -> None:
        """Tell the broker of what was done here.

        Raises:
            ConnectionLost: nobody answers.
        """
        self._commits.flush()
