"""Broker: a queue or topic elsewhere, whose figures a thread fetches every few seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from typing import Any

from ..errors import NotSupported, WrongKind
from ..transports import connect
from ..transports.url import masked, with_options
from .ring import Ring
from .rows import BrokerRow

__all__ = ["EVERY", "Broker"]

EVERY = 3.0  # seconds between two fetches
_PATIENCE = "4"  # seconds for connecting: one that does not answer is shown as such
_KEPT = 600
_SPARK = 60


class Broker:
    """Fetches by itself from `start` to `stop`; `row` never waits.

    Args:
        url: of the queue or topic.
        number: its place on the command line.
        may_act: see `BrokerRow`.
    """

    def __init__(self, url: str, number: int, may_act: bool) -> None:
        self.url = url
        self._number, self._may_act = number, may_act
        self._stopped = threading.Event()
        self._state, self._error, self._at = "connecting", "", 0.0
        self._figures: dict[str, float | None] = {}
        self._depths = Ring(_KEPT, 2)
        self._thread = threading.Thread(target=self._fetch_for_ever, name="conveyor-broker", daemon=True)

    def start(self) -> None:
        """Begin to fetch."""
        self._thread.start()

    def stop(self) -> None:
        """Fetch no more. One that is in the midst of it is not waited for."""
        self._stopped.set()

    def row(self) -> BrokerRow:
        """What is known now."""
        age = time.monotonic() - self._at if self._at else None
        figures, spark = self._figures, self._depths.last(1, _SPARK)
        return BrokerRow(
            masked(self.url),
            self._number,
            self._state,
            self._error,
            age,
            figures,
            spark,
            self._may_act and "published" not in figures,
        )

    def _fetch_for_ever(self) -> None:
        found: Any = None
        while not self._stopped.is_set():
            try:
                if found is None:
                    found = _connected(self.url)
                self._take(found.statistics())
            except Exception as error:  # of whatever client: it is shown, and tried again
                self._state, self._error = "unreachable", masked(f"{type(error).__name__}: {error}")[:500]
                _close(found)
                found = None
            self._stopped.wait(EVERY)
        _close(found)

    def _take(self, statistics: Any) -> None:
        figures: dict[str, float | None] = {
            name: value
            for name, value in dataclasses.asdict(statistics).items()
            if value is None or isinstance(value, (int, float))
        }
        depth = figures.get("depth")
        if depth is None:
            depth = figures.get("kept")
        self._figures, self._at = figures, time.monotonic()
        self._state, self._error = "ok", ""
        if depth is not None:
            self._depths.add(time.time(), depth)


def _connected(url: str) -> Any:
    if not url.startswith("shm://"):
        url = with_options(url, connect_timeout=_PATIENCE, reconnect_timeout="0")
    try:
        return connect(url, create=False)
    except WrongKind:
        return connect(url, kind="topic", create=False)
    except NotSupported:  # it cannot tell whether it is there
        return connect(url)


def _close(found: Any) -> None:
    if found is not None:
        with contextlib.suppress(Exception):
            found.close()
