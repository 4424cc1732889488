"""Reached: a live handle of a queue or topic that has no name, got from outside."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

from .._native import TOPIC_LAYOUT, Region, Segment
from ..errors import ConveyorError, Full, NotSupported, SegmentGone
from ..queues._afterwards import VISITING, held_elsewhere, open_elsewhere
from ..queues.joinable_queue import JoinableQueue
from ..queues.queue import Queue
from .segment_view import SegmentView

__all__ = ["Reached"]

_EVERY = 0.25  # seconds between two looks whether somebody else has it still
_TOPIC = "topic"


class Reached:
    """What a process of this user has, open in this one, too, until `close`.

    Nobody is asked and nobody is told: its memory is opened through /proc, as a pickled handle's is, and nobody relies
    on it to be there. Who puts or takes by it is counted among those that do until `close`; who only looks, pauses or
    purges is not. It is no producer that the end of the queue waits for.

    When every process that had it has ended, nobody will come any more, and what is left belongs to this process. It is
    shut down, so that a get, a put or a subscription that waits goes on with what there is, and ends; `is_orphaned`
    tells that.

    Args:
        view: as a survey saw it: a queue or a topic.
        watches: whether it is to be noticed that its processes end: for one who may wait. It takes a thread.

    Raises:
        NotSupported: it is something else, or one direction of a Pipe.
        SegmentGone: no process has it any more.
        PermissionError: the system does not let this process open it.
        ConveyorError: it is damaged, or of another version.
    """

    def __init__(self, view: SegmentView, watches: bool = True) -> None:
        self._view = view
        self._identity = view.identity
        self._is_topic = view.kind == _TOPIC
        self.handle: Any = self._opened_topic() if self._is_topic else self._opened_queue()
        """A `Queue`, `JoinableQueue` or `Topic`, with the codec "auto"."""
        self.is_orphaned = False
        """Whether no other process has it any more, as far as that was looked at."""
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if watches and not self._is_ours:
            self._thread = threading.Thread(target=self._watch, name="conveyor-reached", daemon=True)
            self._thread.start()

    def look(self) -> bool:
        """Whether it is orphaned, as of now."""
        if not self.is_orphaned and not self._is_ours:
            self.is_orphaned = not held_elsewhere(self._identity) and not self._others()
        return self.is_orphaned

    def close(self) -> None:
        """Let go of it; idempotent."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        if not self._is_topic:
            self.handle.close()
        self.handle = None

    @property
    def _is_ours(self) -> bool:
        """This process has had it before: it is not others that it depends on."""
        return os.getpid() in self._view.users

    def _opened_queue(self) -> Any:
        if self._view.kind != SegmentView.QUEUE:
            raise NotSupported(
                f"{self._view.title} is {self._view.kind or 'nothing that can be read'}; only queues and topics can be "
                "reached from outside"
            )
        segment = Segment.find_or_attach(self._identity, 0, -1, -1)  # ours?
        if segment is None:
            segment = Segment.attach_from_outside(self._descriptor())
        if segment.is_of_pipe:
            raise NotSupported(
                f"{self._view.title} is one direction of a Pipe, or its program has an older conveyor: only who was "
                "handed it can use it; conveyor info and conveyor top show it"
            )
        kind = JoinableQueue if segment.counts_tasks else Queue
        return kind.on_segment(segment, "auto")

    def _opened_topic(self) -> Any:
        from ..topics.topic import Topic

        region = Region.find_or_attach(self._identity, 0, -1, _TOPIC, TOPIC_LAYOUT)  # ours?
        if region is None:
            region = Region.attach(self._descriptor(), _TOPIC, TOPIC_LAYOUT)
        return Topic.on_region(region, 0)  # what it keeps was said when it was made

    def _descriptor(self) -> int:
        """Of its file, open for both.

        Raises:
            SegmentGone, PermissionError: see the class.
        """
        fd = open_elsewhere(self._identity, os.O_RDWR | VISITING)
        if fd is not None:
            return fd
        hidden = [pid for pid in self._view.users if not _may_look(pid)]
        if hidden or held_elsewhere(self._identity):
            pid = next(iter(hidden or self._view.users), 0)
            raise PermissionError(
                f"the system does not let this process open {self._view.title} through /proc/{pid}/fd: that belongs to "
                "another user, or has changed its user, or is protected; be the user that it runs as"
            )
        raise SegmentGone(f"{self._view.title} has gone: the last process that had it let go of it, or ended")

    def _others(self) -> bool:
        """Whether it says itself that a process lives which uses it, of those whose descriptors are not shown."""
        if self._is_topic or self.handle is None:
            return False
        fd = self.handle._segment.memory_fd
        figures = SegmentView.look(fd, self._view.id, None).figures
        users = {*figures.get("producer_pids", ()), *figures.get("consumer_pids", ())}
        return any(not _may_look(pid) for pid in users)

    def _watch(self) -> None:
        while not self._closed.wait(_EVERY):
            if self.look():
                with suppress(ConveyorError, Full, OSError, ValueError):
                    if not self._is_topic:
                        self.handle.resume()  # who paused it has gone, and what is paused does not end
                    self.handle.shutdown()
                return


def _may_look(pid: int) -> bool:
    try:
        os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    except PermissionError:
        return False
    except OSError:
        pass
    return True
