"""Lookout: looks at everything of this user's again and again, and keeps what charts need."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..inspection import ProcessView, SegmentView, Snapshot, Survey, Watch
from .brokers import Broker
from .pipeline_rows import pipeline_row
from .ring import Ring
from .rows import (
    BrokerRow,
    FailureRow,
    Overview,
    PipelineRow,
    ProcessRow,
    QueueDetail,
    QueueRow,
    SubscriberRow,
    TopicRow,
    WaiterRow,
)
from .settings import Settings

__all__ = ["Lookout"]

_KEPT = 600  # moments of a segment
# Looks by which rates, waits and ages are told; the older, the farther apart. Charts have their own memory.
_LOOKS = 120
_SPARK = 60
_HOT = 6


class Lookout:
    """One look for all who watch; any thread may ask for what was seen.

    Args:
        settings: of the dashboard.
    """

    def __init__(self, settings: Settings) -> None:
        self._may_act = not settings.read_only
        self._watch = Watch(_LOOKS)
        # By id, of queues and topics, until they are gone.
        self._rings: dict[str, Ring] = {}
        self._waiting = Ring(_KEPT, 2)
        self._lock = threading.Lock()
        self._seen = Snapshot(Survey(0.0, 0.0, (), {}), 0.0, {}, {})
        self._runs: list[PipelineRow] = []
        self._cost = 0.0
        self._host = socket.gethostname()
        self.brokers = [Broker(url, number, self._may_act) for number, url in enumerate(settings.urls)]

    def look(self) -> None:
        """See what there is now."""
        begun = time.perf_counter()
        seen = self._watch.look()
        runs = [pipeline_row(each) for each in seen.runs]
        with self._lock:
            self._remember(seen)
            self._seen, self._runs = seen, runs
            self._cost = time.perf_counter() - begun

    def _remember(self, seen: Snapshot) -> None:
        before, self._rings = self._rings, {}
        at = seen.survey.time
        for segment in (*seen.queues, *seen.topics):
            ring = self._rings[segment.id] = before.get(segment.id) or Ring(_KEPT, 5)
            rates = seen.rates[segment.id]
            depth = segment.figures["depth"] if segment.kind == SegmentView.QUEUE else _lag(segment)
            ring.add(at, depth, rates.in_rate, rates.out_rate, segment.memory)
        self._waiting.add(at, sum(each.figures["depth"] for each in seen.queues))

    @property
    def snapshot(self) -> Snapshot:
        """What was seen last."""
        return self._seen

    def segment(self, id_: str) -> SegmentView | None:
        """That of this id, as it was seen last; None: it has gone."""
        return next((each for each in self._seen.survey.segments if each.id == id_), None)

    # ---- what pages show

    def overview(self) -> Overview:
        """All in all."""
        with self._lock:
            seen = self._seen
            queues = self._queues()
            topics = seen.topics
            pipelines = self.pipelines()
            return Overview(
                seen.survey.time,
                self._host,
                len(queues),
                sum(row.depth for row in queues),
                sum(row.in_rate for row in queues),
                sum(row.out_rate for row in queues),
                sum(row.wait_for_room > 0 for row in queues),
                sum(row.dead for row in queues),
                len(topics),
                max(map(_lag, topics), default=0),
                len(seen.others),
                sum(each.memory for each in seen.survey.segments),
                len(seen.processes),
                pipelines,
                sum(each.failures for each in pipelines),
                self.broker_rows(),
                sorted(queues, key=lambda row: (-row.pressure, -row.depth, -row.in_rate))[:_HOT],
                self._waiting.last(1, _SPARK),
                self._cost,
            )

    def queues(self) -> list[QueueRow]:
        """Every queue."""
        with self._lock:
            return self._queues()

    def queue(self, id_: str, since: float = 0.0) -> QueueDetail | None:
        """One queue; None: there is none of that id.

        Args:
            id_: its id.
            since: leaves out of `series` what was until then.
        """
        with self._lock:
            segment = self.segment(id_)
            if segment is None or segment.kind != SegmentView.QUEUE:
                return None
            figures = segment.figures
            producers, consumers = set(figures["producer_pids"]), set(figures["consumer_pids"])
            processes = [
                self._process(process, _ROLES[process.pid in producers, process.pid in consumers])
                for pid in segment.users
                if (process := self._seen.survey.processes.get(pid)) is not None
            ]
            waiters = [WaiterRow(**asdict(waiter)) for waiter in segment.waiters]
            same = {name: figures[name] for name in _SAME}
            return QueueDetail(
                queue=self._row(segment),
                place=segment.place,
                maker=segment.maker,
                made=segment.made,
                processes=processes,
                waiters=waiters,
                series=self._rings[id_].rows(since),
                may_act=self._may_act and not segment.error,
                **same,
            )

    def topics(self) -> list[TopicRow]:
        """Every topic."""
        with self._lock:
            return [self._topic(each) for each in self._seen.topics]

    def processes(self) -> list[ProcessRow]:
        """Every process that has something of conveyor's open."""
        with self._lock:
            return [self._process(each, "") for each in self._seen.processes]

    def pipelines(self) -> list[PipelineRow]:
        """Every pipeline that runs."""
        return self._runs

    def failures(self) -> list[FailureRow]:
        """What failed in them, grouped."""
        return [
            FailureRow(each.name, each.pid, failure) for each in self.pipelines() for failure in each.failed
        ]

    def broker_rows(self) -> list[BrokerRow]:
        """Those of the command line."""
        return [each.row() for each in self.brokers]

    def broker_figures(self) -> dict[str, dict[str, float | None]]:
        """The same for `exposition`."""
        return {row.url: {**row.figures, "up": int(row.state == "ok")} for row in self.broker_rows()}

    # ---- rows

    def _queues(self) -> list[QueueRow]:
        return [self._row(each) for each in self._seen.queues]

    def _row(self, segment: SegmentView) -> QueueRow:
        figures, rates = segment.figures, self._seen.rates[segment.id]
        depth = figures["depth"]
        bound = figures["max_items"] or max(figures["peak_depth"], 1)
        pressure = min(depth / bound, 1.0)
        if figures["max_bytes"]:
            pressure = max(pressure, min(figures["bytes_waiting"] / figures["max_bytes"], 1.0))
        return QueueRow(
            segment.id,
            segment.title,
            segment.url,
            depth,
            figures["max_items"],
            figures["peak_depth"],
            rates.in_rate,
            rates.out_rate,
            rates.oldest_age,
            rates.at_least,
            rates.wait_p50,
            rates.wait_p99,
            figures["producers"],
            figures["consumers"],
            _longest(segment, "item"),
            _longest(segment, "room"),
            segment.memory,
            figures["leased"],
            figures["dead"],
            segment.ended,
            pressure,
            self._rings[segment.id].last(1, _SPARK),
            segment.error,
        )

    def _process(self, view: ProcessView, role: str) -> ProcessRow:
        return ProcessRow(
            view.pid, view.command, view.state, self._seen.cpu.get(view.pid), view.cpu_seconds, view.rss, role
        )

    def _topic(self, segment: SegmentView) -> TopicRow:
        figures = segment.figures
        subscribers = [
            SubscriberRow(**{name: each[name] for name in SubscriberRow.__slots__})
            for each in figures["subscribers"]
        ]
        return TopicRow(
            segment.id,
            segment.title,
            segment.url,
            figures["published"],
            self._seen.rates[segment.id].in_rate,
            figures["bytes_kept"],
            figures["max_bytes"],
            segment.memory,
            figures["publish_waits"],
            _lag(segment),
            subscribers,
            self._rings[segment.id].last(2, _SPARK),
        )


_ROLES = {
    (True, True): "both",
    (True, False): "producer",
    (False, True): "consumer",
    (False, False): "attached",
}
_SAME = (
    "items_in",
    "items_out",
    "bytes_in",
    "bytes_out",
    "memory_lent",
    "put_waits",
    "get_waits",
    "put_blocked_seconds",
    "get_blocked_seconds",
    "returned",
    "redelivered",
)


def _longest(segment: SegmentView, what: str) -> float:
    return max((waiter.seconds for waiter in segment.waiters if waiter.what == what), default=0.0)


def _lag(segment: SegmentView) -> int:
    subscribers: Iterable[dict[str, Any]] = segment.figures["subscribers"]
    return max((each["lag"] for each in subscribers if each["alive"]), default=0)
