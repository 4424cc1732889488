"""ProcessesPage: shows other programs which processes `Workers` keep."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from ..base.worker_state import WorkerState
from .page import MOST_BYTES, SnapshotPage
from .publisher import identity

__all__ = ["ProcessesPage"]

_MOST_WORKERS = 256


class ProcessesPage:
    """Shows a set of processes, and is written when that changes: what is in use is seen by the runs that use it.

    There is no page before there is a process, nor in a child of a fork, which has none of them.

    Args:
        name: what people call it.
        place: the line that made it; empty: not known.
        most: processes that are kept.
    """

    def __init__(self, name: str, place: str, most: int) -> None:
        self._name = name
        self._place = place
        self._most = most
        self._about: dict[str, Any] = {}
        self._page: SnapshotPage | None = None

    def show(self, pids: Sequence[int], lost: int) -> None:
        """Show these; what goes wrong with that is nobody's concern.

        Args:
            pids: the processes that are there.
            lost: how many have died so far.
        """
        with contextlib.suppress(Exception):
            if self._page is None or self._about["pid"] != os.getpid():
                self._about = {**identity(self._name, self._place, "workers"), "started": time.time()}
                self._began = time.monotonic()
                self._page = SnapshotPage()
            data = json.dumps(self._document(pids, lost), separators=(",", ":")).encode()
            if len(data) <= MOST_BYTES:
                self._page.write(data)

    def _document(self, pids: Sequence[int], lost: int) -> dict[str, Any]:
        now = time.monotonic()
        counts = dict.fromkeys(
            ("taken", "results", "failures", "retries", "dead", "in_flight", "resumed", "stages_left_out"), 0
        )
        return {
            **self._about,
            **counts,
            "at": now,
            "seconds": now - self._began,
            "phase": "idle",
            "total": None,
            "left": None,
            "stages": [
                {
                    **dict.fromkeys(("taken", "given", "failures", "retries", "waiting", "in_flight"), 0),
                    "name": "workers",
                    "kind": "processes",
                    "feeds": [],
                    "workers": len(pids),
                    "most_workers": self._most,
                    "deaths": lost,
                    "ended": False,
                    "bottleneck": False,
                    "load": 0.0,
                    "rate": 0.0,
                }
            ],
            "workers": [_worker(place, pid) for place, pid in enumerate(pids[:_MOST_WORKERS])],
            "workers_left_out": max(len(pids) - _MOST_WORKERS, 0),
            "failure_groups": [],
            "failure_groups_left_out": 0,
        }

    def close(self) -> None:
        """Show nothing any more."""
        page, self._page = self._page, None
        if page is not None:
            page.close()


def _worker(place: int, pid: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(("items", "attempt", "outstanding", "restarts"), 0),
        "stage": 0,
        "place": place,
        "pid": pid,
        "state": WorkerState.IDLE,
        "busy_seconds": 0.0,
        "wait_seconds": 0.0,
        "since": None,
        "end": "",
        "history": "",
    }
