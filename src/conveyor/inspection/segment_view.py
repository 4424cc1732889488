"""SegmentView: a queue, a topic or other shared memory, as it shows itself to those who look from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from .._memory.owner import pid_of
from .._native import _is_alive as is_alive  # pyright: ignore[reportPrivateUsage]
from .._native import (
    _peek_header,  # pyright: ignore[reportPrivateUsage]
    _peek_region_header,  # pyright: ignore[reportPrivateUsage]
    _peek_store,  # pyright: ignore[reportPrivateUsage]
    _peek_topic,  # pyright: ignore[reportPrivateUsage]
)
from ..errors import ConveyorError, WrongKind

__all__ = ["SegmentView", "Waiter"]

_MODES = ("free", "block", "drop_oldest", "fail")


@dataclass(frozen=True, slots=True)
class Waiter:
    """A thread that has waited for some hundredths of a second or more; shorter waits are not seen.

    Of the coroutines of one event loop that wait for an item of a queue, there is one, after a second or two.
    """

    pid: int
    thread: int
    """Its number, as in /proc/PID/task."""
    what: str
    """`item`, `room`, `tasks` of a queue; `event`, `room` of a topic; `change`, `claim` of a dict or list; `state`."""
    seconds: float
    """For so long."""


@dataclass(frozen=True, slots=True)
class SegmentView:
    """What the header of a file says at one look. Nothing is locked, mapped or changed, so figures may be torn by an
    operation."""

    QUEUE: ClassVar[str] = "queue"

    id: str
    """What tells it from all others, in every look."""
    kind: str
    """`queue`, `topic`, `dict`, `list`, `array` or `state` (locks, values ...); "": see `error`."""
    url: str | None
    """As in `shm://jobs`; None: it has no name."""
    label: str
    """What its maker calls it; "": nothing."""
    place: str
    """The line of the program that made it, as `jobs.py:12`; "": it is not known."""
    made: float
    """Seconds since 1970; 0: not known."""
    maker: int
    """The pid of who made it, which may have ended; 0: not known."""
    memory: int
    """Bytes that it holds."""
    users: tuple[int, ...]
    """Pids of those that have it open, as far as they may be seen."""
    waiters: tuple[Waiter, ...] = ()
    ended: bool = False
    """It was shut down, or has ended by itself."""
    paused: bool = False
    """A queue whose consumers are held back."""
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of a queue: the fields of `Statistics`, and `max_items`, `max_bytes` (0: no bound), `bytes_waiting`; of a
    topic: those of
    `TopicStatistics`; of a dict or list: `length`, `version`, `bytes_used`."""
    error: str = ""
    """Why nothing is known of it: it is damaged, or of another version of conveyor."""

    @property
    def title(self) -> str:
        """What to call it in one word or two."""
        return self.label or self.url or self.place or f"{self.kind or 'segment'} {self.id}"

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the file."""
        device, inode = self.id.split(":")
        return int(device, 16), int(inode, 16)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: bytes, seconds, counts and pids as plain numbers."""
        return {
            "title": self.title,
            **{name: getattr(self, name) for name in self.__slots__},
            "waiters": [asdict(waiter) for waiter in self.waiters],
        }

    @classmethod
    def look(
        cls,
        fd: int,
        id_: str,
        name: str | None,
        users: tuple[int, ...] = (),
        alive: Callable[[int], bool] = is_alive,
    ) -> SegmentView:
        """At a file that is open for reading.

        Args:
            fd: of the file.
            id_: see `id`.
            name: as in `shm://name`, or None.
            users: see there.
            alive: whether the process with that mark lives; of one who looks at many files, one that remembers.
        """
        url = None if name is None else f"shm://{name}"
        try:
            try:
                seen, kind, figures = _queue(fd, alive)
            except WrongKind:
                seen, kind, figures = _region(fd, alive)
        except (ConveyorError, OSError) as error:
            memory = os.fstat(fd).st_blocks * 512
            return cls(id_, "", url, "", "", 0.0, 0, memory, users, error=str(error))
        now = time.monotonic()
        # The dead leave their notes behind.
        waiters = tuple(
            Waiter(pid_of(owner), thread, what, max(now - since, 0.0))
            for owner, thread, what, since in seen["waiters"]
            if alive(owner)
        )
        return cls(
            id_,
            kind,
            url,
            _printable(seen["label"]),
            _printable(seen["place"]),
            seen["made"],
            pid_of(seen["maker"]),
            figures["memory_held"] if "memory_held" in figures else seen["memory"],
            users,
            tuple(sorted(waiters, key=lambda waiter: -waiter.seconds)),
            bool(seen.get("ended") or figures.pop("ended", False)),
            bool(seen.get("paused")),
            figures,
        )


def _queue(fd: int, alive: Callable[[int], bool]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    seen = _peek_header(fd)
    figures: dict[str, Any] = seen["figures"]
    figures["producer_pids"] = sorted(pid_of(owner) for owner in seen["putting"] if alive(owner))
    figures["consumer_pids"] = sorted(pid_of(owner) for owner in seen["getting"] if alive(owner))
    figures["producers"] = len(figures["producer_pids"])
    figures["consumers"] = len(figures["consumer_pids"])
    figures |= {
        "max_items": seen["max_items"],
        "max_bytes": seen["max_bytes"],
        "bytes_waiting": seen["bytes"],
    }
    return seen, SegmentView.QUEUE, figures


def _region(fd: int, alive: Callable[[int], bool]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    seen = _peek_region_header(fd)
    kind: str = seen["kind"]
    figures: dict[str, Any] = {}
    if kind == "topic":
        figures = _peek_topic(fd)
        figures["memory_held"] = seen["memory"]
        figures["subscribers"] = [
            {
                "pid": pid_of(owner),
                "alive": alive(owner),
                "when_slow": _MODES[mode] if mode < len(_MODES) else "?",
                "seq": seq,
                "lag": lag,
                "missed": missed,
                "received": received,
            }
            for owner, mode, seq, lag, missed, received in figures["subscribers"]
        ]
    elif kind in ("dict", "list"):
        figures = dict(zip(("length", "version", "bytes_used"), _peek_store(fd), strict=True))
    return seen, kind, figures


def _printable(text: str) -> str:
    """Whoever may write there may have written anything: nothing that moves a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)
