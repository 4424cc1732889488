"""The events of a topic for a group, on Redis."""

from __future__ import annotations

from ..port import Settings
from ..url import Url
from .common_scripts import DESTROY
from .queue import RedisQueue
from .topic_scripts import JOIN_GROUP, LEAVE_GROUP

__all__ = ["RedisTopicGroup"]


class RedisTopicGroup(RedisQueue):
    """A queue beside the topic, into which whoever publishes puts each event; the record is the topic's."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._group: str = url.options["group"]
        self._base = f"{self._record_base}:group:{self._group}"

    def declare(self, settings: Settings) -> None:
        if not self._run_at(self._record_base, JOIN_GROUP, self._group):
            raise self._removed()

    def destroy(self) -> None:
        left = self._run_at(self._record_base, LEAVE_GROUP, self._group)
        self._run(DESTROY)
        if not left:
            raise FileNotFoundError(f"{self._url} does not exist")
