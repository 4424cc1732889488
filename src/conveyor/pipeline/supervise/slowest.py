"""Slowest: the items that took a worker longest."""

from __future__ import annotations

from typing import Any

from ..base.format import short
from ..base.weight import weigh
from ..worker.status_page import StatusPage
from .share_memory import LEAST_SHARED

__all__ = ["Slowest"]

_MOST = 5  # of each worker


class Slowest:
    """Keeps the slowest items of a worker, which tells of those that take longer than what its status page says.

    Args:
        status_page: the worker's.
    """

    def __init__(self, status_page: StatusPage) -> None:
        self._status_page = status_page
        self._found: list[tuple[float, int, Any]] = []

    def note(self, nanoseconds: int, number: int, item: Any) -> None:
        """The item at place `number` took so long."""
        if weigh([item]) > LEAST_SHARED:
            item = short(item)  # or the accounts would keep a lot of memory
        self._found.append((nanoseconds * 1e-9, number, item))
        if len(self._found) > 4 * _MOST:
            self.keep()

    def keep(self) -> list[tuple[float, int, Any]]:
        """The slowest so far: seconds, number and item."""
        self._found = sorted(self._found, key=lambda entry: -entry[0])[:_MOST]
        if len(self._found) == _MOST:
            self._status_page.tell_above(int(self._found[-1][0] * 1e9))
        return self._found
