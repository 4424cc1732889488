"""What queues and topics on brokers tell about themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._memory.units import BYTES

__all__ = ["BrokerStatistics", "BrokerTopicStatistics"]


@dataclass(frozen=True, slots=True)
class BrokerStatistics:
    """A snapshot of a queue on a broker, over all processes and since it was made.

    None stands where the broker does not tell; what each tells is in docs/transports.md. The fields that
    `conveyor.Statistics` has as well mean the same.
    """

    transport: str
    """The scheme of the queue's URL."""
    reconnects: int
    """How often this handle has lost its connection and made it again."""
    depth: int | None = None
    """Items waiting now."""
    leased: int | None = None
    """Items under lease now."""
    returned: int | None = None
    """Items that were leased, came back and wait now, those with a delay included."""
    redelivered: int | None = None
    """How often an item came back."""
    dead: int | None = None
    """Items that failed too often or were rejected, and have gone to no dead letters."""
    items_in: int | None = None
    """Items that were put."""
    items_out: int | None = None
    """Items that were taken for good: by get, or acknowledged, or given up."""
    bytes_in: int | None = field(default=None, metadata=BYTES)
    """Bytes of payload that were put."""
    bytes_out: int | None = field(default=None, metadata=BYTES)
    """Bytes of payload that were taken."""


@dataclass(frozen=True, slots=True)
class BrokerTopicStatistics:
    """A snapshot of a topic on a broker, over all processes and since it was made; None: the broker does not tell."""

    transport: str
    """The scheme of the topic's URL."""
    reconnects: int
    """How often this handle has lost its connection and made it again."""
    published: int | None = None
    """Events that were published."""
    bytes_published: int | None = field(default=None, metadata=BYTES)
    """Bytes of payload that were published."""
    bytes_kept: int | None = field(default=None, metadata=BYTES)
    """Bytes of events that are kept now."""
    kept: int | None = None
    """Events that are kept now."""
    subscriptions: int | None = None
    """Subscriptions that are open now."""
