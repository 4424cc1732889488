"""`kafka://host1,host2/name` and `kafka+ssl://`: queues and topics on Apache Kafka, from version 4.0 on.

A queue is a topic of Kafka's and a group of consumers. The offset that the group commits is that of the oldest item
that is not settled; what is known of the items behind it, which are acknowledged and which are leased, stands in the
metadata of that commit. Beside it lies the control record, a log of its own.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   topic_group
#   queue, topic
#   connected, cursor, glance
#   client
#   group
#   member
#   commits
#   administration, observer, record_log, reports, sender, window
#   flight, forks, marks, settings

from __future__ import annotations

from ...errors import NotSupported
from ..port import Backend
from ..tls import TLS_OPTIONS
from ..topic_port import TopicBackend
from ..url import Option, Shape, Url
from .queue import KafkaQueue
from .topic import KafkaTopic
from .topic_group import KafkaTopicGroup

__all__ = ["SHAPE", "group", "queue", "topic"]

SHAPE = Shape(
    "kafka://user:password@host1:9092,host2:9092/name",
    options={
        # The group of consumers; one queue has one.
        "group": Option("name"),
        # A queue is a group of consumers, or would be a share group of KIP-932: see `queue`.
        "mode": Option("group|share", "group"),
        # Of a topic of Kafka's that is made now. So many processes can take items at a time; order is that of each.
        "partitions": Option("int", 1, 1),
        # Copies of each item; none said: as the cluster has it for new topics.
        "replication": Option("int", None, 1),
        # "consumer": groups of KIP-848, which a server before 4.0 does not have.
        "protocol": Option("consumer|classic", "consumer"),
        # Seconds after which a consumer that is silent is taken for dead; of protocol=classic.
        "session_timeout": Option("float", 10.0, 1.0),
        "sasl_mechanism": Option("PLAIN|SCRAM-SHA-256|SCRAM-SHA-512", "PLAIN"),
        **TLS_OPTIONS,
    },
)


def queue(url: Url) -> Backend:
    """The queue at `url`.

    Raises:
        NotSupported: mode=share. docs/adr/0025-share-groups.md says what no released client can do yet.
    """
    if url.options["mode"] == "share":
        raise NotSupported(
            f"{url}: mode=share needs a client that holds two leases of a share group at a time and renews them, and "
            "none is released; leave it out: the group acknowledges in any order, and partitions= says how many "
            "processes take items at the same time"
        )
    return KafkaQueue(url)


def topic(url: Url) -> TopicBackend:
    """The topic at `url`."""
    return KafkaTopic(url)


def group(url: Url) -> Backend:
    """What a group gets of the topic at `url`."""
    return KafkaTopicGroup(url)
