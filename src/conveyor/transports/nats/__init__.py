"""`nats://host/name` and `tls://`: queues and topics on NATS with JetStream, from 2.9 on, and topics from 2.10 on.

A queue is a work-queue stream with one durable consumer that all share; a topic is a stream with limits, of which each
subscription reads by itself. The control records lie in the key-value bucket `conveyor`.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   topic_group
#   queue, topic
#   cursor, owed, putting
#   bounded, connected, pulls
#   wire
#   leaving, names, protocol

from __future__ import annotations

from ..port import Backend
from ..tls import TLS_OPTIONS
from ..topic_port import TopicBackend
from ..url import Option, Shape, Url
from .queue import NatsQueue
from .topic import NatsTopic
from .topic_group import NatsTopicGroup

__all__ = ["SHAPE", "group", "queue", "topic"]

SHAPE = Shape(
    "nats://user:password@host:4222/name",
    options={
        # How long a lease without an end, or a subscription that publishers wait for, outlives its process.
        "keep_alive": Option("float", 15.0, 1.0),
        # In a cluster: how many servers have each message.
        "replicas": Option("int", 1, 1),
        # A file as `nsc` makes it, for servers that know their users by keys.
        "credentials": Option("str"),
        **TLS_OPTIONS,
    },
)


def queue(url: Url) -> Backend:
    """The queue at `url`."""
    return NatsQueue(url)


def topic(url: Url) -> TopicBackend:
    """The topic at `url`."""
    return NatsTopic(url)


def group(url: Url) -> Backend:
    """What a group gets of the topic at `url`."""
    return NatsTopicGroup(url)
