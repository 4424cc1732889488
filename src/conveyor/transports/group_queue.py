"""GroupQueue: what a group of consumers gets of a topic on a broker, shared among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn, TypeVar

from ..errors import NotSupported
from .base import BrokerQueue
from .port import Backend, Message

__all__ = ["GroupQueue"]

T = TypeVar("T")


class GroupQueue(BrokerQueue[T]):
    """The events of a topic for a group: each goes to one of those who take from it, by leases if they like.

    Made by `BrokerTopic.group`, or by `conveyor.connect` of a URL with `kind=group` and `group=`. The group has what is
    published after its first member came, and keeps it while nobody is there. It ends with its topic.
    """

    # The control record is the topic's: the same end, and the same producers.
    _what = "topic"

    def _start(self) -> None:
        super()._start()
        self._part = self._options.url.options["group"]

    def _joined(self, backend: Backend) -> None:
        wanted = self._options.settings
        joined = self._control.join(backend, self._create, self._wanted(backend))
        # How often an event may fail, and for how long it is leased, is for the handles of a group to say.
        self._settings = replace(
            joined,
            maxsize=0,
            max_bytes=0,
            max_attempts=wanted.max_attempts,
            lease_seconds=wanted.lease_seconds,
        )
        self._create = False
        if not backend.capabilities.lists_groups:
            self._control.join_group(backend, self._part)
        backend.declare(joined)

    @property
    def _identity(self) -> tuple[int, int]:
        url = self._options.url
        return hash((url.scheme, url.hosts, url.path)), hash(("group", url.name, url.options["group"]))

    def _push(self, backend: Backend, messages: Sequence[Message], wait: float) -> NoReturn:
        raise NotSupported(f"{self._shown} gets the events of a topic; publish them there (kind=topic)")

    def shutdown(self, immediate: bool = False) -> NoReturn:
        """Raise NotSupported: a group ends with its topic."""
        raise NotSupported(f"{self._shown} ends with its topic; shut that down (kind=topic)")
