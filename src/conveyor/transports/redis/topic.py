"""A topic on Redis."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from ...errors import ItemTooLarge
from ..port import ConnectionLost, Ended, Message, Settings
from ..topic_port import Cursor, TopicBackend, WhenSlow
from ..url import Url
from .connected import RedisConnection, packed
from .cursor import RedisCursor
from .topic_scripts import PUBLISH, TOPIC_FIGURES

__all__ = ["RedisTopic"]

_DEFAULT_BYTES = 64 * 2**20
# What an event takes beside its bytes: as the topics in shared memory count it.
_EVENT_BYTES = 64
_MOST_SENT, _MOST_BYTES_SENT = 1000, 2**22
_ENDED, _REMOVED = -1, -2


class RedisTopic(RedisConnection, TopicBackend):
    """A topic: a stream, and the positions of those who read it."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._max_bytes = _DEFAULT_BYTES
        self._keep: int | None = None
        self._cursors: weakref.WeakSet[RedisCursor] = weakref.WeakSet()
        self._beating: threading.Thread | None = None

    def declare(self, settings: Settings) -> None:
        self._max_bytes = settings.max_bytes or _DEFAULT_BYTES
        self._keep = settings.keep

    def abandon(self) -> None:
        self._cursors = weakref.WeakSet()
        self._beating = None
        super().abandon()

    def publish(self, messages: Sequence[Message], wait: float) -> int:
        largest = max(len(message.body) for message in messages) + _EVENT_BYTES
        if largest > self._max_bytes // 4:
            raise ItemTooLarge(
                f"the event takes {largest} bytes and can never be published: at most a quarter of max_bytes "
                f"({self._max_bytes}) may be; raise max_bytes or send smaller events"
            )
        events: list[bytes] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            key = b"" if message.key is None else message.key.encode("utf-8", "surrogatepass")
            events += (key, packed(message))
            size += len(events[-1])
            if size > _MOST_BYTES_SENT:
                break
        call = f"{messages[0].id}+{len(events) // 2}"
        keep = "" if self._keep is None else self._keep
        until = monotonic() + wait
        while True:
            published: int = self._run(
                PUBLISH, self._thread(), call, self._max_bytes, keep, _EVENT_BYTES, *events
            )
            if published > 0:
                return published
            if published == _ENDED:
                raise Ended
            if published == _REMOVED:
                raise self._removed()
            left = until - monotonic()
            if left <= 0:
                return 0
            self._wait_for("room", left)

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        cursor = RedisCursor(self._run, self._call, self._base, self._keep_alive, from_, when_slow)
        self._cursors.add(cursor)
        if self._beating is None:
            # A subscription that is slow to read is not a dead one.
            self._beating = threading.Thread(
                target=_beat,
                args=(weakref.ref(self), self._keep_alive / 3),
                name="conveyor-beats",
                daemon=True,
            )
            self._beating.start()
        return cursor

    def beat(self) -> bool:
        """Tell that the subscriptions live; False: there are none."""
        cursors = list(self._cursors)
        for cursor in cursors:
            cursor.touch()
        if not cursors:
            self._beating = None
        return bool(cursors)

    def figures(self) -> Mapping[str, int]:
        names = ("published", "bytes_published", "bytes_kept", "kept", "subscriptions")
        return dict(zip(names, self._run(TOPIC_FIGURES), strict=True))


def _beat(topic: weakref.ref[RedisTopic], seconds: float) -> None:
    pause: Any = threading.Event()
    while True:
        pause.wait(seconds)
        this = topic()
        if this is None:
            return
        try:
            if not this.beat():
                return
        except (ConnectionLost, OSError):
            pass  # the user's own calls say so; here it is tried again
        del this
