"""Topics in shared memory: one log, and many readers that each have all of it."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   topic
#   subscription
#   _aio_wait, statistics

import typing as _typing

from .._lazy import lazy as _lazily

if _typing.TYPE_CHECKING:
    from .statistics import SubscriberStatistics, TopicStatistics
    from .subscription import Subscription
    from .topic import Topic

__all__ = [
    "SubscriberStatistics",
    "Subscription",
    "Topic",
    "TopicStatistics",
]
__dir__ = __all__.copy

_LAZY = {
    "SubscriberStatistics": "statistics",
    "Subscription": "subscription",
    "Topic": "topic",
    "TopicStatistics": "statistics",
}


if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)
