"""What a transport does for a queue: `Backend`. `BrokerQueue` makes all methods of a queue out of it.

A transport knows its broker, and nothing else: no codec, no deadline of a call, no healing, no asyncio, no
pickling. The base has those for all of them, and sees to it that a backend

- is opened before it is used, and closed once; after a fork the child has a new one;
- may have any of its methods called from several threads at a time (a client that cannot bear that is locked by its
  transport, or lives in an `IoThread`);
- is asked to wait in slices of `Capabilities.slice_seconds` at most, and asked again.

When the connection is gone, a method raises `ConnectionLost`, from the client's error. The base then calls `close`,
`open` and `declare` until one succeeds or the call's time is over (`BrokerUnreachable`), and calls the method again
with the same arguments. So each must bear being repeated: messages carry ids for brokers that can tell a repeated
one. What cannot be cured by trying again (a wrong password, no permission, a queue of another kind) is raised as
PermissionError, WrongKind, NotSupported ..., and reaches the user.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

__all__ = [
    "Aside",
    "Backend",
    "Capabilities",
    "Connection",
    "ConnectionLost",
    "Delivery",
    "Depth",
    "Ended",
    "Message",
    "Settings",
]


# Items that are dropped at a time.
_PORTION = 1000


class ConnectionLost(Exception):
    """The connection is gone, or could not be made: trying again may help."""


class Ended(Exception):
    """The control record says that the queue was shut down: nothing was put."""


class Message:
    """An item on its way to the broker."""

    __slots__ = ("body", "content_type", "id", "key")

    def __init__(self, body: bytes, content_type: str, id: str, key: str | None = None) -> None:  # noqa: A002
        self.body = body
        self.content_type = content_type
        self.id = id
        """Unique; the same when the message is sent again."""
        self.key = key
        """Of an event of a topic: what subscribers choose by."""


class Delivery:
    """An item that came from the broker."""

    __slots__ = ("attempts", "body", "content_type", "error", "pid", "tag")

    def __init__(
        self,
        body: bytes,
        content_type: str,
        tag: Any = None,
        attempts: int = 0,
        error: str = "",
        pid: int = 0,
    ) -> None:
        self.body = body
        self.content_type = content_type
        self.tag = tag
        """The backend's own: what it acknowledges by. Of an earlier connection it may be void: then it is lost."""
        self.attempts = attempts
        """How often it was leased before, and came back."""
        self.error = error
        """Why it came back last, where the broker keeps that."""
        self.pid = pid
        """Who had it last, where the broker keeps that."""


class Depth(NamedTuple):
    """How many items there are; None: the broker does not tell."""

    ready: int | None
    """Wait now, for anybody."""
    leased: int | None
    """Are in somebody's hands, and may come back."""
    delayed: int | None = 0
    """Will come back at their time."""
    ahead: bool = False
    """Other processes may have taken some ahead, which they hand out or give back in a moment."""
    elsewhere: bool = False
    """Other processes have some under lease, how many is not told."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What belongs to the queue or topic and not to a handle: kept in its control record, the same for all."""

    maxsize: int = 0
    """Items that may wait; 0: no bound."""
    max_bytes: int = 0
    """Bytes of items that may wait; 0: no bound. Into an empty queue one item may always be put."""
    max_attempts: int = 0
    """How often an item may fail; 0: no bound. The base counts by `Delivery.attempts`."""
    lease_seconds: float = 0.0
    """For how long an item is leased, unless `lease` says otherwise; 0: for ever."""
    keep: int | None = None
    """Of a topic: how many events are kept for later subscribers; None: as many as there is room for."""
    codec: str = ""
    """The name of the codec."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The transport's own, from the URL's options: whatever `Backend.settings` returned."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the base must do for a backend, and what it can leave to it."""

    ends_leases: bool
    """A lease of so many seconds ends at the broker, by itself. Without: the base gives it back in time."""
    keep_alive: float | None = None
    """Seconds for which a lease without an end lasts at the broker: the base extends it at a third of that. None: it
    lasts as long as the process (or its connection)."""
    sees_end: bool = False
    """`send` looks at the control record in the same step and raises `Ended`. Without: the base reads the record
    before each `send` that is later than `record_seconds` after the last reading."""
    record_seconds: float = 0.25
    slice_seconds: float = 0.5
    """How long `send` and `lease` may be asked to wait at a time: so late an end is noticed by those who wait, unless
    the backend returns early when the record changes."""
    waits_at_end: bool = True
    """At the queue's end, what may come back is waited for in `take` and `lease`. False: they are asked without a wait,
    again and again, as others would take who waits in them for somebody who has items."""
    counts_deliveries: bool = False
    """What comes back was an attempt, whatever `Backend.release` is told."""
    forgets_any: bool = True
    """`forget` can remove any; else only the oldest ones, in a row."""
    process_only: bool = False
    """It lives in one process: handles pickle within that alone."""
    lists_groups: bool = True
    """What the groups of a topic have goes with it. Without: the control record has their names, for
    `TopicBackend.destroy_groups`."""


class Connection(ABC):
    """What a queue's and a topic's backend have in common: a connection, and the control record."""

    capabilities: Capabilities

    # -- connection

    @abstractmethod
    def open(self, wait: float) -> None:
        """Connect, within `wait` seconds. Makes nothing at the broker.

        Raises:
            ConnectionLost: nobody answers, or not in time.
            PermissionError: the broker does not know this user, or the password is wrong.
        """

    @abstractmethod
    def close(self) -> None:
        """Disconnect; what is leased through this connection may come back. Never raises, never waits long."""

    def drop(self) -> None:
        """Let go of a connection that is lost; `open` follows. As `close`, but for a client that heals by itself."""
        self.close()

    def abandon(self) -> None:  # noqa: B027  (many have nothing to forget)
        """Forget the connection without a word to the broker: this is a forked child, and it is the parent's.

        Close the descriptors that the child has inherited, and nothing else: no lock and no thread of the parent's
        may be touched.
        """

    def address(self) -> str:
        """Where it connects to, without secrets; for `BrokerUnreachable`."""
        return ""

    # -- the control record: a few hundred bytes beside the queue, by which all handles agree

    @abstractmethod
    def read_record(self) -> tuple[bytes, Any] | None:
        """The record and its version, whatever that is; None: there is none, and so no queue of ours."""

    @abstractmethod
    def write_record(self, record: bytes, version: Any) -> bool:
        """Write the record if its version is still `version` (None: if there is none yet); False: it is not.

        Who waits in `send` or `lease`, anywhere, should return early after that, where the broker allows it.
        """

    def settings(self) -> Mapping[str, Any]:
        """What of the URL's options belongs to the queue, for `Settings.extra`."""
        return {}

    @abstractmethod
    def declare(self, settings: Settings) -> None:
        """See to it that the queue is there, as the settings say; called after each `open`, so it must bear that.

        Raises:
            NotSupported: this broker cannot keep one of the settings; the text says what to use instead.
        """

    @abstractmethod
    def destroy(self) -> None:
        """Remove the queue, its control record and all that belongs to it.

        Raises:
            FileNotFoundError: there is none.
        """

    # -- who lives

    def member(self) -> str | None:
        """What stands for this process in the record, for `is_alive`; None: the base sends heartbeats."""
        return None

    def is_alive(self, member: str) -> bool:
        """Whether that process lives."""
        return True


class Aside(ABC):
    """A look through what a queue has set aside, once at each, the oldest first; a context manager.

    It is lost with the connection: `remove` raises `ConnectionLost` then, and the look begins anew.
    """

    keeps_tags = False
    """Whether a delivery has the same tag in every look, and no other ever has it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def next(self, most: int) -> Sequence[Delivery]:
        """The next ones, at most `most`; none: there are no more. They stay."""

    @abstractmethod
    def remove(self, deliveries: Sequence[Delivery]) -> None:
        """Have these gone, which `next` has returned; that somebody else has removed them meanwhile is no error."""

    def close(self) -> None:  # noqa: B027  (most have nothing to give back)
        """Look no more. Never raises."""


class Backend(Connection):
    """One queue, through one connection of one process."""

    # -- items

    @abstractmethod
    def send(self, messages: Sequence[Message], wait: float) -> int:
        """Put messages, in order, as far as there is room; wait at most so many seconds for room for the first.

        Returns when the broker has them for good. May return early, also with 0.

        Returns:
            How many were put: always the first so many.

        Raises:
            Ended: see `Capabilities.sees_end`.
            ItemTooLarge: a message can never be put; none was.
        """

    def take(self, most: int, wait: float) -> list[Delivery]:
        """Take messages for good, as `lease` does. Nothing may be lost when the connection breaks meanwhile."""
        deliveries = self.lease(most, wait, None)
        if deliveries:
            self.acknowledge(deliveries)
        return deliveries

    @abstractmethod
    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        """Take messages that come back unless they are acknowledged: what is there, at most `most`.

        Args:
            most: at least 1.
            wait: for so many seconds at most for the first. May return early, with nothing.
            seconds: until they come back; None: as `Capabilities.keep_alive` says.
        """

    def rest(self) -> None:
        """A call that asked `lease` once or several times, with waits, has ended without an item."""

    @abstractmethod
    def peek(self, most: int) -> Sequence[Delivery]:
        """Those that `Depth.ready` counts, in the order in which they would be taken, at most `most`: none is taken.

        Nothing at the broker may change by it, nobody may be held up, and nothing may be lost when this process is
        killed.

        Raises:
            NotSupported: the broker cannot show them without handing them out.
        """

    @abstractmethod
    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Nobody will get these again.

        Returns:
            Those that are not ours any more, and may be in somebody else's hands.
        """

    @abstractmethod
    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        """Give these back, to the front where the broker has one; the first of them is the first again.

        Args:
            deliveries: in the order in which they were leased.
            delay: seconds before anybody gets them.
            counted: whether this was an attempt that failed.
            error: why, for `Delivery.error`.

        Returns:
            Those that are not ours any more.
        """

    @abstractmethod
    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        """Set these aside: nobody gets them again, `dead` finds them, and `figures` counts them as dead.

        Args:
            deliveries: under lease.
            error: why, for `Delivery.error`.
            more: attempts that their count does not have yet.

        Returns:
            Those that are not ours any more.
        """

    def dead(self, most: int, after: Any) -> Sequence[Delivery]:
        """What `bury` has set aside, the oldest first, at most `most`; it stays.

        Args:
            most: at least 1.
            after: the tag of the last one that was seen before; None: from the beginning.
        """
        raise NotImplementedError  # `aside` is this backend's own

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Remove these from what was set aside; those that are gone already are no error."""
        raise NotImplementedError

    def aside(self) -> Aside:
        """A look through what was set aside, by `dead` and `forget` unless the broker must hand out what it shows."""
        return _AsideByTags(self)

    def extend(self, deliveries: Sequence[Delivery], seconds: float) -> Sequence[Delivery]:
        """Let these leases last so many seconds from now on; see `Capabilities.keep_alive`.

        Returns:
            Those that are not ours any more.
        """
        return ()

    @abstractmethod
    def depth(self) -> Depth:
        """How many items there are now."""

    @abstractmethod
    def purge(self) -> None:
        """At the end: drop all that waits, also what is delayed. What is leased must not come back after that."""

    def clear(self) -> int:
        """Drop what waits, also what is delayed; how many that were. What is leased may come back.

        This takes as many as there were in the beginning, some at a time.
        """
        left = self.depth().ready or 0
        count = 0
        while left and (found := self.take(min(left, _PORTION), 0.0)):
            count += len(found)
            left -= len(found)
        return count

    def oldest(self) -> float | None:
        """Seconds since the oldest that waits was put; 0.0: nothing waits; None: no time is kept."""
        return None

    def is_full(self, settings: Settings) -> bool:
        """Whether a bound is reached now."""
        if not settings.maxsize:
            return False
        ready = self.depth().ready
        return ready is not None and ready >= settings.maxsize

    def figures(self) -> Mapping[str, int]:
        """What the broker counts, over all processes: fields of `BrokerStatistics`, those that it knows."""
        return {}


class _AsideByTags(Aside):
    """By what the broker shows without handing it out."""

    keeps_tags = True

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._last: Any = None

    def next(self, most: int) -> Sequence[Delivery]:
        found = self._backend.dead(most, self._last)
        if found:
            self._last = found[-1].tag
        return found

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        self._backend.forget(deliveries)
