"""`amqp://host/vhost/name` and `amqps://`: queues and topics on RabbitMQ.

A queue is a quorum queue of that name, a topic an exchange of that name with a queue for each subscription. Beside it
lies the control record, a message in a queue that keeps one, which is changed under a lock: an exclusive queue.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   topic_group
#   queue, topic
#   cursor, handed_out
#   group_names
#   connected, inbox, lease_marker, standing
#   wire
#   channel
#   frames, publishing, quiet, stream

from __future__ import annotations

from ..port import Backend
from ..tls import TLS_OPTIONS
from ..topic_port import TopicBackend
from ..url import Option, Shape, Url
from .queue import RabbitQueue
from .topic import RabbitTopic
from .topic_group import RabbitTopicGroup

__all__ = ["SHAPE", "group", "queue", "topic"]

SHAPE = Shape(
    "amqp://user:password@host:5672/vhost/name",
    path=True,
    options={
        # Seconds; who is silent for two of them is taken for dead, by either side.
        "heartbeat": Option("int", 10, 1),
        **TLS_OPTIONS,
    },
)


def queue(url: Url) -> Backend:
    """The queue at `url`."""
    return RabbitQueue(url)


def topic(url: Url) -> TopicBackend:
    """The topic at `url`."""
    return RabbitTopic(url)


def group(url: Url) -> Backend:
    """What a group gets of the topic at `url`."""
    return RabbitTopicGroup(url)
