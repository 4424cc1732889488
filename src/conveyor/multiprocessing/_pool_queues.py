"""The queues of a `Pool`: tasks are leased, so that the one which a dead worker had is known, and raises.

A task and a result travel as `(job, number, bytes, buffers)`. Who takes one knows whose it is before he unpickles what
can fail, or kill him; and who only passes on what a dead worker had does not unpickle it at all. Among the results is
the pid of each worker when it has begun.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

from .._native import Segment, _decode, _encode  # pyright: ignore[reportPrivateUsage]
from ..errors import Empty, WorkerLost, WorkerPoolBroken
from ..queues.dead_letter import DeadLetter
from ..queues.queue import Queue
from ._pool_starts import PoolStarts
from ._unseen_ends import exit_code_of

__all__ = ["PoolQueues", "Results", "Tasks", "pack", "unpack"]

# What may wait: as a pipe would, it slows down who is ahead. A larger one waits alone.
_TASK_BYTES = 1 << 20
_RESULT_BYTES = 256 << 20
# The thread that looks after the workers is woken by their end, and soon asks how it was.
_EXIT_CODE_SECONDS = 0.5
# A result of a job that there is not, which the pool passes over.
_NOBODYS = (-1, 0, (False, None))


def pack(job: int, number: int, content: Any) -> tuple[Any, ...]:
    """What travels of a task or a result.

    Args:
        job, number: whose it is, as the pool has it.
        content: the rest.
    """
    encoded = _encode(content)
    if encoded is not None:
        return job, number, encoded, None
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    ForkingPickler(file, 5, True, buffers.append).dump(content)
    return job, number, file.getvalue(), [each.raw() for each in buffers]


def unpack(message: tuple[Any, ...]) -> Any:
    """The content of what has travelled; raises whatever unpickling raises."""
    _, _, content, buffers = message
    if buffers is None:
        return _decode(content)
    return pickle.loads(content, buffers=buffers)


class Tasks(Queue[Any]):
    """Where workers take their tasks."""

    starts: PoolStarts | None = None
    """In the pool's own process: its workers."""

    @classmethod
    def make(cls, results: Results) -> Tasks:
        """New ones; a task that a worker died with goes to the results, as a `DeadLetter`."""
        segment = Segment.create(0, _TASK_BYTES, soft=True, max_attempts=1)
        made = cls.on_segment(segment, "auto", results)
        assert isinstance(made, Tasks)
        return made

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """A task as the standard library's worker wants it, which a subclass of `Pool` may start."""
        message = super().get(block, timeout)
        return None if message is None else (*message[:2], *unpack(message))

    def discard(self) -> None:
        """Take a task, if there is one, and do nothing about it."""
        with contextlib.suppress(Empty):
            super().get(block=False)


class Results(Queue[Any]):
    """Where workers put their results."""

    @classmethod
    def make(cls) -> Results:
        """New ones."""
        made = cls.on_segment(Segment.create(0, _RESULT_BYTES, soft=True), "auto")
        assert isinstance(made, Results)
        return made

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put a result as the standard library's worker has it, or what is made by `pack`."""
        if type(obj) is tuple and len(cast("tuple[Any, ...]", obj)) == 3:  # type: ignore[redundant-cast]
            obj = pack(*cast("tuple[int, int, Any]", obj))
        super().put(obj, block, timeout)


class PoolQueues:
    """The pool's end of its queues."""

    def __init__(self) -> None:
        self.results = Results.make()
        self.tasks = Tasks.make(self.results)
        self._outstanding: set[tuple[int, int]] = set()
        self._broken: WorkerPoolBroken | None = None
        self._starts = self.tasks.starts = PoolStarts(self._give_up)

    def put(self, task: tuple[Any, ...] | None) -> None:
        """Send a task to whichever worker is free; None: tell one to leave."""
        if task is None:
            self.tasks.put(None)
            return
        job, number, *rest = task
        self._outstanding.add((job, number))
        if self._broken is not None:
            self._fail(job, number, self._broken)
            return
        try:
            self.tasks.put(pack(job, number, rest))
        except BaseException:
            self._outstanding.discard((job, number))
            raise
        if self._broken is not None:  # by now: of several results only the first one counts
            self._fail(job, number, self._broken)

    def _give_up(self, error: WorkerPoolBroken) -> None:
        """No worker will ever take a task: each raises."""
        self._broken = error
        for job, number in list(self._outstanding):
            self._fail(job, number, error)
        while not self.tasks.empty():  # somebody may wait for room to put one more
            self.tasks.discard()

    def _fail(self, job: int, number: int, error: WorkerPoolBroken) -> None:
        self.results.put(pack(job, number, (False, error)))

    def get(self) -> tuple[int, int, tuple[bool, Any]] | None:
        """The next result, with whose it is; None: there will be none.

        One message is taken, and no more: who was told that there is one, and gets it, must not have to wait.
        """
        message: Any = self.results.get()
        if message is None:
            return None
        if type(message) is int:
            self._starts.note_begun(message)
            return _NOBODYS
        lost_pid = 0
        if isinstance(message, DeadLetter):
            letter = cast("DeadLetter[Any]", message)  # type: ignore[redundant-cast]
            lost_pid, message = letter.pid, letter.item
            if message is None:
                return _NOBODYS  # that it was told to leave
        job, number = message[:2]
        try:
            self._outstanding.remove((job, number))
        except KeyError:
            return _NOBODYS  # it died between having put the result and having said so
        if lost_pid:
            return job, number, (False, _lost(lost_pid))
        try:
            return job, number, unpack(message)
        except BaseException as error:  # even SystemExit: it is the result's
            error.add_note("the result of a task of a Pool came, and could not be unpickled")
            return job, number, (False, error)


def _lost(pid: int) -> WorkerLost:
    code = exit_code_of(pid, _EXIT_CODE_SECONDS)
    if code is None:
        how = "has died"
    elif code < 0:
        how = f"was killed by signal {-code}"
    else:
        how = f"exited with status {code}"
    return WorkerLost(f"the worker process {pid} of the Pool {how} while it had this task", pid, code)
