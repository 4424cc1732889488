"""Watch: looks at everything again and again, and remembers what rates and ages are made of."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .open_files import OpenFiles
from .process_view import ProcessView
from .queue_history import QueueHistory, QueueRates
from .segment_view import SegmentView
from .snapshot import Snapshot
from .survey import Survey, survey

if TYPE_CHECKING:
    from .pipeline_view import PipelineView

__all__ = ["Watch"]

# A tick of the kernel's clock is 10 ms: over less than seconds, shares would jump.
_CPU_SECONDS = 3.0
# What part of the time may go into finding what is new.
_SHARE = 0.02


class Watch:
    """What one who watches keeps. It grows with what is there now, not with time: what is gone is forgotten.

    Nothing that is watched is attached, locked, changed or waited for (see `survey`); so whoever watches may be
    stopped or killed at any moment, and any number may watch at once.

    Args:
        most: how many looks are remembered of each queue, see `QueueHistory`.
    """

    def __init__(self, most: int = 720) -> None:
        self._most = most
        self._files = OpenFiles(_SHARE)
        self._before: Survey | None = None
        self._histories: dict[str, QueueHistory] = {}
        # By pid: at, processor time. The first is `_CPU_SECONDS` old, or more.
        self._cpu: dict[int, deque[tuple[float, float]]] = {}

    def look(self) -> Snapshot:
        """What is there now."""
        seen = survey(self._files, self._before)
        seconds = 0.0 if self._before is None else seen.at - self._before.at
        self._before = seen
        rates = self._rates(seen.at, seen.segments)
        return Snapshot(seen, seconds, rates, self._shares(seen.at, seen.processes.values()), self._runs())

    def look_twice(self, apart: float = 0.02) -> Snapshot:
        """What is there now, with rates, for one who has not looked before.

        Args:
            apart: seconds between the two looks: long enough for a rate, short enough for a script.
        """
        self.look()
        time.sleep(apart)
        return self.look()

    def history(self, id_: str) -> QueueHistory | None:
        """What is remembered of the queue or topic with that id (`SegmentView.id`), for a chart; None: it is not there
        any more, or was not yet."""
        return self._histories.get(id_)

    def _runs(self) -> tuple[PipelineView, ...]:
        if not self._files.pages:
            return ()
        # Imported when there is one: it is a third of what the start of a command takes.
        from .pipelines import pipelines

        # To find them, what the survey has gone through is not gone through again.
        return tuple(pipelines(self._files))

    def _rates(self, at: float, segments: Iterable[SegmentView]) -> dict[str, QueueRates]:
        before, self._histories = self._histories, {}
        rates: dict[str, QueueRates] = {}
        for segment in segments:
            if (counts := _counts(segment)) is None:
                continue
            history = before.get(segment.id) or QueueHistory(most=self._most)
            self._histories[segment.id] = history
            rates[segment.id] = history.add(at, *counts)
        return rates

    def _shares(self, at: float, processes: Iterable[ProcessView]) -> dict[int, float]:
        before, self._cpu = self._cpu, {}
        shares: dict[int, float] = {}
        for process in processes:
            times = before.get(process.pid) or deque[tuple[float, float]]()
            self._cpu[process.pid] = times
            if times and times[-1][1] > process.cpu_seconds:
                times.clear()  # another process of that number
            times.append((at, process.cpu_seconds))
            while len(times) > 2 and times[1][0] <= at - _CPU_SECONDS:
                times.popleft()
            first_at, first = times[0]
            if at > first_at:
                shares[process.pid] = (process.cpu_seconds - first) / (at - first_at)
        return shares


def _counts(segment: SegmentView) -> tuple[int, int] | None:
    """How many went in and how many came out, since it was made; None: it is no queue and no topic."""
    figures = segment.figures
    if segment.kind == SegmentView.QUEUE:
        return figures["items_in"], figures["items_out"]
    if segment.kind == "topic":
        published: int = figures["published"]
        read = [each["seq"] for each in figures["subscribers"] if each["alive"]]
        return published, min([published, *read])
    return None
