"""The figures of a snapshot as Prometheus and OpenMetrics read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .segment_view import SegmentView
from .snapshot import Snapshot

__all__ = ["Form", "negotiated", "text"]


class Form(Enum):
    """How the text is written; the value is its media type."""

    PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiated(accept: str) -> Form:
    """What the Accept header of a request asks for; where it asks for both alike, OpenMetrics."""
    weights = {Form.OPENMETRICS: 0.0, Form.PROMETHEUS: 0.0}
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        found = re.fullmatch(r"q=(\d(?:\.\d{0,3})?)", next((p for p in parameters if p.startswith("q=")), ""))
        weight = float(found[1]) if found else 1.0
        if kind == "application/openmetrics-text":
            weights[Form.OPENMETRICS] = max(weights[Form.OPENMETRICS], weight)
        elif kind in ("text/plain", "text/*", "*/*"):
            weights[Form.PROMETHEUS] = max(weights[Form.PROMETHEUS], weight)
    open_metrics = weights[Form.OPENMETRICS]
    return Form.OPENMETRICS if open_metrics and open_metrics >= weights[Form.PROMETHEUS] else Form.PROMETHEUS


@dataclass(frozen=True, slots=True)
class _Metric:
    """A family of samples. A counter's name is written with `_total` behind it."""

    name: str
    kind: str
    help: str
    value: Callable[[Any], float | None]


def _of(key: str) -> Callable[[Any], float | None]:
    return lambda figures: figures.get(key)


_QUEUE = (
    _Metric("conveyor_queue_items_put", "counter", "Items that were put.", _of("items_in")),
    _Metric("conveyor_queue_items_taken", "counter", "Items that were taken.", _of("items_out")),
    _Metric("conveyor_queue_put_bytes", "counter", "Bytes of payload that were put.", _of("bytes_in")),
    _Metric("conveyor_queue_taken_bytes", "counter", "Bytes of payload that were taken.", _of("bytes_out")),
    _Metric("conveyor_queue_items_waiting", "gauge", "Items that wait.", _of("depth")),
    _Metric("conveyor_queue_items_waiting_peak", "gauge", "Most items that ever waited.", _of("peak_depth")),
    _Metric(
        "conveyor_queue_items_limit", "gauge", "Items that may wait.", lambda f: f.get("max_items") or None
    ),
    _Metric("conveyor_queue_items_leased", "gauge", "Items under lease.", _of("leased")),
    _Metric("conveyor_queue_items_returned", "gauge", "Items that came back and wait.", _of("returned")),
    _Metric(
        "conveyor_queue_items_redelivered", "counter", "How often an item came back.", _of("redelivered")
    ),
    _Metric(
        "conveyor_queue_items_dead",
        "gauge",
        "Items that failed for good and went to no dead letters.",
        _of("dead"),
    ),
    _Metric("conveyor_queue_put_waits", "counter", "How often a put slept for room.", _of("put_waits")),
    _Metric("conveyor_queue_get_waits", "counter", "How often a get slept for an item.", _of("get_waits")),
    _Metric(
        "conveyor_queue_put_blocked_seconds",
        "counter",
        "Seconds that puts slept.",
        _of("put_blocked_seconds"),
    ),
    _Metric(
        "conveyor_queue_get_blocked_seconds",
        "counter",
        "Seconds that gets slept.",
        _of("get_blocked_seconds"),
    ),
    _Metric("conveyor_queue_producers", "gauge", "Living processes that put.", _of("producers")),
    _Metric("conveyor_queue_consumers", "gauge", "Living processes that take.", _of("consumers")),
    _Metric("conveyor_queue_memory_bytes", "gauge", "Bytes of memory that it holds.", _of("memory")),
    _Metric(
        "conveyor_queue_memory_lent_bytes", "gauge", "Bytes of it that arrays lie in.", _of("memory_lent")
    ),
    _Metric("conveyor_queue_ended", "gauge", "1 when it was shut down.", _of("ended")),
    _Metric("conveyor_queue_reconnects", "counter", "Connections that were made again.", _of("reconnects")),
)
_TOPIC = (
    _Metric("conveyor_topic_events_published", "counter", "Events that were published.", _of("published")),
    _Metric(
        "conveyor_topic_published_bytes", "counter", "Bytes that were published.", _of("bytes_published")
    ),
    _Metric("conveyor_topic_events_kept", "gauge", "Events that are kept.", _of("kept")),
    _Metric("conveyor_topic_kept_bytes", "gauge", "Bytes of events that are kept.", _of("bytes_kept")),
    _Metric("conveyor_topic_limit_bytes", "gauge", "Bytes that may be kept.", _of("max_bytes")),
    _Metric(
        "conveyor_topic_publish_waits",
        "counter",
        "How often a publisher slept for room.",
        _of("publish_waits"),
    ),
    _Metric("conveyor_topic_subscribers", "gauge", "Subscriptions that are open.", _of("subscriptions")),
    _Metric("conveyor_topic_lag_events", "gauge", "Events that the slowest has not read.", _of("lag")),
    _Metric("conveyor_topic_missed_events", "gauge", "Events that those there now missed.", _of("missed")),
    _Metric("conveyor_topic_memory_bytes", "gauge", "Bytes of memory that it holds.", _of("memory")),
)
_STORE = (
    _Metric("conveyor_store_entries", "gauge", "Entries of a shared dict or list.", _of("length")),
    _Metric("conveyor_store_used_bytes", "gauge", "Bytes that its entries take.", _of("bytes_used")),
    _Metric("conveyor_store_memory_bytes", "gauge", "Bytes of memory that it holds.", _of("memory")),
)
_PROCESS = (
    _Metric(
        "conveyor_process_cpu_seconds", "counter", "Processor time since it began.", lambda p: p.cpu_seconds
    ),
    _Metric(
        "conveyor_process_resident_memory_bytes",
        "gauge",
        "Memory that it has resident, shared ones included.",
        lambda p: p.rss,
    ),
    _Metric("conveyor_process_threads", "gauge", "Its threads.", lambda p: p.threads),
)
_STAGE = (
    _Metric("conveyor_stage_items_taken", "counter", "Items that a stage has taken.", lambda s: s.taken),
    _Metric("conveyor_stage_items_given", "counter", "Results that a stage has given.", lambda s: s.given),
    _Metric("conveyor_stage_failures", "counter", "Items that failed in a stage.", lambda s: s.failures),
    _Metric(
        "conveyor_stage_retries", "counter", "How often a stage tried an item again.", lambda s: s.retries
    ),
    _Metric("conveyor_stage_items_waiting", "gauge", "Items that wait before a stage.", lambda s: s.waiting),
    _Metric("conveyor_stage_items_in_flight", "gauge", "Items that its workers have.", lambda s: s.in_flight),
    _Metric("conveyor_stage_workers", "gauge", "Workers of a stage.", lambda s: s.workers),
    _Metric("conveyor_stage_worker_deaths", "counter", "Workers of a stage that died.", lambda s: s.deaths),
    _Metric(
        "conveyor_stage_load_ratio", "gauge", "Share of the time that its workers are busy.", lambda s: s.load
    ),
    _Metric(
        "conveyor_stage_bottleneck", "gauge", "1 where it holds up the others.", lambda s: int(s.bottleneck)
    ),
)
_UP = _Metric(
    "conveyor_broker_up",
    "gauge",
    "1 when its figures were fetched at the last attempt.",
    lambda figures: figures["up"],
)

_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[_Labels, Any]


def text(
    snapshot: Snapshot,
    brokers: Mapping[str, Mapping[str, float | None]] | None = None,
    form: Form = Form.PROMETHEUS,
) -> str:
    """All of it, a sample a line.

    A queue's labels: `queue` is what it is called, `kind` "shm" (it has a name), "anonymous", or the broker's scheme,
    and `id` what tells it from others that are called the same.

    Args:
        snapshot: of a `Watch`.
        brokers: by masked URL: the fields of `statistics()`, and `up`, 1 or 0.
        form: how it is written.
    """
    brokers = brokers or {}
    queues: list[_Sample] = [(_labels("queue", each), _figures(each)) for each in snapshot.queues]
    topics: list[_Sample] = [(_labels("topic", each), _figures(each)) for each in snapshot.topics]
    stores: list[_Sample] = [
        (_labels("store", each), _figures(each)) for each in snapshot.others if "length" in each.figures
    ]
    for url, figures in brokers.items():
        of = "topic" if "published" in figures else "queue"
        labels = ((of, url), ("kind", url.partition(":")[0]), ("id", url))
        (topics if of == "topic" else queues).append((labels, figures))
    processes: list[_Sample] = [
        ((("pid", str(each.pid)), ("command", each.command[:80])), each) for each in snapshot.processes
    ]
    stages: list[_Sample] = [
        ((("pipeline", run.name or run.place), ("pid", str(run.pid)), ("stage", stage.name)), stage)
        for run in snapshot.runs
        for stage in run.stages
    ]
    ups: list[_Sample] = [((("url", url),), figures) for url, figures in brokers.items()]
    lines: list[str] = []
    for metrics, samples in (
        (_QUEUE, queues),
        (_TOPIC, topics),
        (_STORE, stores),
        (_PROCESS, processes),
        (_STAGE, stages),
        ((_UP,), ups),
    ):
        for metric in metrics:
            lines += _family(metric, samples, form)
    if form is Form.OPENMETRICS:
        lines.append("# EOF")
    return "\n".join(lines) + "\n" if lines else ""


def _labels(of: str, segment: SegmentView) -> _Labels:
    kind = "anonymous" if segment.url is None else "shm"
    if segment.kind not in (SegmentView.QUEUE, "topic"):
        kind = segment.kind
    return ((of, segment.title), ("kind", kind), ("id", segment.url or segment.id))


def _figures(segment: SegmentView) -> dict[str, Any]:
    figures: dict[str, Any] = {**segment.figures, "memory": segment.memory, "ended": int(segment.ended)}
    if segment.kind == "topic":
        living: list[dict[str, Any]] = [each for each in figures["subscribers"] if each["alive"]]
        figures["subscriptions"] = len(living)
        figures["lag"] = max((each["lag"] for each in living), default=0)
        figures["missed"] = sum(each["missed"] for each in living)
    return figures


def _family(metric: _Metric, samples: Iterable[_Sample], form: Form) -> Iterator[str]:
    rows = [(labels, value) for labels, what in samples if (value := metric.value(what)) is not None]
    if not rows:
        return
    sample = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    family = metric.name if form is Form.OPENMETRICS else sample
    yield f"# HELP {family} {metric.help}"
    yield f"# TYPE {family} {metric.kind}"
    if form is Form.OPENMETRICS and (unit := metric.name.rpartition("_")[2]) in ("bytes", "seconds"):
        yield f"# UNIT {family} {unit}"
    for labels, value in rows:
        words = ",".join(f'{name}="{_escaped(each)}"' for name, each in labels)
        yield f"{sample}{{{words}}} {float(value) if isinstance(value, float) else int(value)}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
