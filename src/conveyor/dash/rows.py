"""What the page and /api show: one frozen row for each thing. The JSON schema is made of these."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BrokerRow",
    "Failure",
    "FailureRow",
    "Overview",
    "PipelineRow",
    "ProcessRow",
    "QueueDetail",
    "QueueRow",
    "StageRow",
    "SubscriberRow",
    "TopicRow",
    "WaiterRow",
    "WorkerRow",
]


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue in shared memory, in a line of a table."""

    id: str
    title: str
    url: str | None
    depth: int
    max_items: int
    """0: no bound."""
    peak_depth: int
    in_rate: float
    """Items per second, over the last seconds."""
    out_rate: float
    oldest_age: float | None
    """Seconds; None: nothing waits, or it is not known."""
    oldest_at_least: bool
    """It is older than that."""
    wait_p50: float | None
    wait_p99: float | None
    producers: int
    consumers: int
    wait_for_item: float
    """Seconds that the longest such wait has taken; 0: nobody waits."""
    wait_for_room: float
    memory: int
    """Bytes."""
    leased: int
    dead: int
    ended: bool
    pressure: float
    """0 empty to 1 full: of its bound, else of its peak."""
    spark: list[float]
    """Depths at the last moments."""
    error: str


@dataclass(frozen=True, slots=True)
class WaiterRow:
    """A thread that waits at a queue."""

    pid: int
    thread: int
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process that has something of conveyor's open."""

    pid: int
    command: str
    state: str
    cpu: float | None
    """The share of one processor that it took over the last seconds; None: not known yet."""
    cpu_seconds: float
    rss: int
    """Bytes."""
    role: str
    """`producer`, `consumer`, `both` or `attached`, for one queue; "": not asked for."""


@dataclass(frozen=True, slots=True)
class QueueDetail:
    """One queue."""

    queue: QueueRow
    place: str
    maker: int
    made: float
    """Seconds since 1970; 0: not known."""
    items_in: int
    items_out: int
    bytes_in: int
    """Bytes."""
    bytes_out: int
    memory_lent: int
    put_waits: int
    get_waits: int
    put_blocked_seconds: float
    get_blocked_seconds: float
    returned: int
    redelivered: int
    processes: list[ProcessRow]
    waiters: list[WaiterRow]
    series: list[list[float]]
    """For each moment: seconds since 1970, depth, items in and out per second, bytes of memory."""
    may_act: bool
    """Whether it can be looked into and changed: it is sound, and the dashboard was allowed to."""


@dataclass(frozen=True, slots=True)
class SubscriberRow:
    """A reader of a topic."""

    pid: int
    alive: bool
    when_slow: str
    lag: int
    missed: int
    received: int


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A topic in shared memory."""

    id: str
    title: str
    url: str | None
    published: int
    rate: float
    """Events per second."""
    bytes_kept: int
    max_bytes: int
    memory: int
    publish_waits: int
    lag: int
    """That of the slowest subscriber."""
    subscribers: list[SubscriberRow]
    spark: list[float]
    """Events per second at the last moments."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker of a stage."""

    pid: int
    state: str
    busy: float
    """0 to 1: its share of busy time since it began."""
    items: int
    item_age: float | None
    """Seconds that its current item has taken so far."""
    restarts: int
    rss: int | None
    """Bytes; None: it is no process."""
    timeline: str
    """Its states in the last half minute, a letter each: `WorkerView.history`."""
    end: str
    """How it ended; "": it has not."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage of a pipeline that runs."""

    name: str
    kind: str
    taken: int
    given: int
    rate: float
    """Items per second that leave it."""
    waiting: int
    """Items before it."""
    in_flight: int
    failures: int
    retries: int
    deaths: int
    ended: bool
    bottleneck: bool
    pressure: float
    """0 to 1: how busy its workers are."""
    feeds: list[str]
    """The names of the stages behind it."""
    workers: list[WorkerRow]


@dataclass(frozen=True, slots=True)
class Failure:
    """Failures of one kind in one stage."""

    stage: str
    kind: str
    count: int
    item: str
    """The last one, shortened."""
    message: str
    where: str
    traceback: str
    time: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class FailureRow:
    """Failures of one kind, and where."""

    pipeline: str
    pid: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline that runs, an executor, or `Workers`."""

    id: str
    name: str
    pid: int
    seconds: float
    taken: int
    total: int | None
    """None: not known."""
    results: int
    failures: int
    in_flight: int
    bottleneck: str
    """The stage's name; "": none."""
    stages: list[StageRow]
    phase: str
    left: float | None
    """Seconds until the source has ended; None: that cannot be told."""
    age: float
    """Seconds since its process told of it; 0 while it is idle: there is nothing to tell."""
    failed: list[Failure]
    error: str
    kind: str
    """`pipeline`, `executor` or `workers`."""


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """A queue or topic elsewhere, whose URL was given on the command line."""

    url: str
    """Without its secrets."""
    number: int
    """Its place on the command line."""
    state: str
    """`connecting`, `ok` or `unreachable`."""
    error: str
    age: float | None
    """Seconds since its figures were fetched; None: never."""
    figures: dict[str, float | None]
    """As in its `statistics()`; None: the broker does not tell."""
    spark: list[float]
    """Depths at the last moments."""
    may_act: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """How all is, in a few figures."""

    time: float
    """Seconds since 1970."""
    host: str
    queues: int
    waiting: int
    """Items, in all queues."""
    in_rate: float
    out_rate: float
    blocked: int
    """Queues at which somebody waits for room."""
    dead: int
    """Items that failed for good and lie nowhere else."""
    topics: int
    lag: int
    others: int
    """Dicts, lists, arrays, locks."""
    memory: int
    """Bytes."""
    processes: int
    pipelines: list[PipelineRow]
    failures: int
    brokers: list[BrokerRow]
    hot: list[QueueRow]
    """The queues with the highest pressure or most items."""
    spark: list[float]
    """Items waiting at the last moments."""
    look_seconds: float
    """What the last look cost."""
