"""`redis://host/0/name` and `rediss://`: queues and topics on Redis and Valkey, from version 6.2 on.

A queue is a list of what nobody has had yet, and sorted sets of what came back, is leased and is delayed; a topic is
a stream. Each operation is one script, which the server runs as one step: bounds, order and counts are exact.
"""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   topic, topic_group
#   queue
#   cursor
#   connected, queue_scripts, topic_scripts
#   common_scripts, pool
#   script

from __future__ import annotations

from ..port import Backend
from ..tls import TLS_OPTIONS
from ..topic_port import TopicBackend
from ..url import Option, Shape, Url
from .queue import RedisQueue
from .topic import RedisTopic
from .topic_group import RedisTopicGroup

__all__ = ["SHAPE", "group", "queue", "topic"]

SHAPE = Shape(
    "redis://user:password@host:6379/0/name",
    path=True,
    options={
        # How long a lease without an end, or a subscription, outlives its process.
        "keep_alive": Option("float", 15.0, 1.0),
        **TLS_OPTIONS,
    },
)


def queue(url: Url) -> Backend:
    """The queue at `url`."""
    return RedisQueue(url)


def topic(url: Url) -> TopicBackend:
    """The topic at `url`."""
    return RedisTopic(url)


def group(url: Url) -> Backend:
    """What a group gets of the topic at `url`."""
    return RedisTopicGroup(url)
