"""Publisher: has other programs see a run, at no cost that anybody could notice."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .page import SnapshotPage
    from .run_snapshot import RunSnapshot

__all__ = ["FIRST_SECONDS", "Publisher", "identity"]

FIRST_SECONDS = 0.2
"""So long after its beginning a run is shown at the soonest: nobody sees a shorter one, and it pays nothing."""
_SECONDS = 0.5
# Looking at many workers takes longer: it may take a hundredth of the time.
_SHARE = 100

_numbers = itertools.count(1)


def identity(name: str, place: str, kind: str) -> dict[str, Any]:
    """What tells readers of a page whose it is.

    Args:
        name: what people call it; empty: nothing.
        place: the line that made it; empty: not known.
        kind: `pipeline`, `executor` or `workers`.
    """
    pid = os.getpid()
    return {
        "id": f"{pid}.{next(_numbers)}",
        "kind": kind,
        "name": name[:200],
        "place": place[-1000:],
        "pid": pid,
        "process_started": _process_started(),
    }


def _process_started() -> int:
    """When this process began, in ticks since the machine was booted: by it and its pid a process is known."""
    text = Path("/proc/self/stat").read_text(errors="replace")
    return int(text.rpartition(")")[2].split()[19])


class Publisher:
    """Shows a run to other programs, from its first call until it is closed.

    Nothing that goes wrong here is of the run's concern: it is shown no longer, and goes on.

    Args:
        name: of the pipeline; empty: it has none.
        place: where it was made, as in `srv/jobs.py:12`; empty: not known.
        resumed: items that earlier runs dealt with.
        look: makes what looks at the run, given what of it does not change.
        kind: what runs: `pipeline` or `executor`.
    """

    def __init__(
        self,
        name: str,
        place: str,
        resumed: int,
        look: Callable[[dict[str, Any]], RunSnapshot],
        kind: str = "pipeline",
    ) -> None:
        self._fixed = name, place, resumed, kind
        self._look = look
        self._page: SnapshotPage | None = None
        self._snapshot: RunSnapshot | None = None

    def show(self, now: float) -> float:
        """Show how far it is.

        Args:
            now: the time, by `time.monotonic`.

        Returns:
            When to do so next.
        """
        try:
            if self._snapshot is None:
                self._begin()
            began = time.thread_time()  # on a busy machine, the clock on the wall tells of others
            self._write(closing=False)
        except Exception:
            self.close()
            return math.inf
        return now + max(_SECONDS, _SHARE * (time.thread_time() - began))

    def show_the_end(self) -> None:
        """Show that all is done but the closing of its ends, which may take long; not if it was never shown."""
        if self._page is not None:
            with contextlib.suppress(Exception):
                self._write(closing=True)

    def _begin(self) -> None:
        from .page import SnapshotPage  # not before they are needed: most runs are over by then

        name, place, resumed, kind = self._fixed
        self._snapshot = self._look({**identity(name, place, kind), "resumed": resumed})
        self._page = SnapshotPage()

    def _write(self, closing: bool) -> None:
        assert self._page is not None
        assert self._snapshot is not None
        self._page.write(self._snapshot.take(closing))

    def close(self) -> None:
        """Show it no longer."""
        self._snapshot = None  # it knows workers that are gone
        page, self._page = self._page, None
        if page is not None:
            page.close()
