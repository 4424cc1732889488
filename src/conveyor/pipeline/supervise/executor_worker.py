"""ExecutorWorker: a worker that is a place in an executor of the user's."""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import WorkerLost, WorkerPoolBroken
from ..base.weight import weigh
from ..flow.local_channel import LocalChannel
from ..worker.messages import BROKEN, FAILED, LEFT, READY, is_stop, kind_of
from ..worker.remote import RemoteAnswer, RemoteJob, serve_remotely
from ..worker.serve import Job
from ..worker.status_page import StatusPage
from .handle import WorkerHandle
from .stage_port import StagePort

__all__ = ["ExecutorWorker", "remote_job"]

# Errors of an item that cannot travel; whatever else an executor says of a submission is the loss of who had it.
_OF_THE_ITEM = (pickle.PicklingError, TypeError, AttributeError, ValueError)


# What the arguments of a job weigh at most that goes with each submission.
_LARGE_BYTES = 64 * 1024


def _is_large(remote: RemoteJob) -> bool:
    """Whether the job is too large to go with each submission."""
    steps = () if remote.job is None else remote.job.links
    given = [one.arguments for one in steps if one.arguments is not None]
    return any(weigh([*one.args, *one.kwargs.values()]) > _LARGE_BYTES for one in given)


def remote_job(job: Job) -> RemoteJob:
    """The job, under a name that no other has."""
    return RemoteJob(uuid.uuid4().hex, job)


class ExecutorWorker(WorkerHandle):
    """One submission at a time to an executor, of all the items that are to be done next.

    If a submission of several items fails as a whole, they are submitted again one by one: then it is known which it
    is. What is running in an executor can be asked to stop (`Future.cancel`), and otherwise only left behind.

    Args:
        stage_port: the stage.
        remote: what is done to the items.
        executor: anything with `submit(function, *arguments)` that returns a future.
        tell: called, in any thread, with this handle when it has results.
        failed: called, in any thread, with what ends the run.
    """

    def __init__(
        self,
        stage_port: StagePort,
        remote: RemoteJob,
        executor: Any,
        tell: Callable[[WorkerHandle], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(stage_port, StatusPage(-1))
        self._remote = remote
        self._executor = executor
        self._failed = failed
        self._results = LocalChannel(lambda: tell(self))
        self._lock = threading.Lock()
        self._tasks: deque[Any] = deque()
        self._is_large = _is_large(remote)
        self._sends_job = False  # although it is large: the one that got the last submission does not have it
        self._singly = 0  # of the tasks, so many at the front are to be submitted one by one
        self._future: Any = None
        self._abandoned = False
        self._left = False
        if stage_port.one_at_a_time:
            self.most_ahead = 1
        self._results.put((READY,))

    @property
    def token(self) -> WorkerHandle:
        """This handle."""
        return self

    def _send(self, messages: list[Any]) -> None:
        with self._lock:
            self._tasks.extend(messages)
        self._submit()

    def _submit(self) -> None:
        """Submit what there is, unless something is under way.

        A loop and no recursion: an executor may refuse thousands of items at once, or have done them when it returns.
        """
        while (messages := self._next()) is not None:
            self.status_page.note_begin(time.monotonic_ns())
            remote = self._remote
            if self._is_large and not self._sends_job:
                remote = RemoteJob(remote.name, None)
            try:
                future = self._executor.submit(serve_remotely, remote, messages)
            except _OF_THE_ITEM as error:
                self._lost(error, messages)
            except BaseException as error:
                text = f"the executor of stage {self._stage_port.stage!r} takes no work: {error!r}"
                self._failed(WorkerPoolBroken(text))
                return
            else:
                if not future.done():
                    with self._lock:
                        self._future = future
                    future.add_done_callback(partial(self._done, messages))
                    return
                self._take_answer(messages, future)
            with self._lock:
                self._future = None

    def _next(self) -> list[Any] | None:
        """What is to be submitted now; None: nothing."""
        messages: list[Any] = []
        with self._lock:
            if self._future is not None or self._abandoned or self._left or not self._tasks:
                return None
            if not is_stop(self._tasks[0]):
                most = 1 if self._singly else len(self._tasks)
                while len(messages) < most and self._tasks and not is_stop(self._tasks[0]):
                    messages.append(self._tasks.popleft())
                self._singly = max(self._singly - 1, 0)
                self._future = messages  # so that no other thread submits meanwhile
                return messages
            self._left = True
        self._results.put((LEFT,))
        return None

    def _done(self, messages: list[Any], future: Any) -> None:
        """A submission has ended: take what came of it, and submit what is next."""
        self._take_answer(messages, future)
        with self._lock:
            self._future = None
        self._submit()

    def _take_answer(self, messages: list[Any], future: Any) -> None:
        if self._abandoned:
            return
        try:
            answer: RemoteAnswer = future.result()
        except BaseException as error:
            self._lost(error, messages)
        else:
            self._sends_job = answer.unknown
            if answer.unknown:
                with self._lock:
                    self._tasks.extendleft(reversed(messages))
                    self._singly += bool(self._singly)
                return
            self.status_page.note_done(answer.busy, answer.items, answer.histogram)
            for message in answer.messages:
                self._results.put(message)
            if kind_of(answer.messages[-1] if answer.messages else None) == BROKEN:
                self._left = True

    def _lost(self, error: BaseException, messages: list[Any]) -> None:
        self.status_page.note_done(0, 0, {})
        if len(messages) > 1:
            with self._lock:
                self._tasks.extendleft(reversed(messages))
                self._singly += len(messages)
            return
        if isinstance(error, _OF_THE_ITEM):
            kind, text = type(error).__name__, f"the item or its result cannot travel: {error}"
            shown: Exception = error
        else:
            kind = "WorkerLost"
            shown = WorkerLost(f"the executor lost it: {type(error).__name__}: {error}"[:1000], 0, None)
            text = str(shown)
        try:
            pickled: bytes | None = pickle.dumps(shown)
        except Exception:
            pickled = None
        self._results.put((FAILED, 0, 1, pickled, kind, text, "", ""))

    def _take(self) -> list[Any]:
        return [] if self._abandoned else self._results.take_each()

    def _recall(self) -> int:
        with self._lock:
            count = sum(not is_stop(message) for message in self._tasks)
            self._tasks.clear()
            self._singly = 0
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        return not self._results.empty()

    def kill(self) -> None:
        """Ask for its end, and expect nothing more of it."""
        self._abandoned = True
        future = self._future
        if future is not None and hasattr(future, "cancel"):
            future.cancel()

    def gone(self) -> bool:
        """Whether it has ended, or was left behind."""
        return self._abandoned or self._left

    def close(self) -> None:
        """Let go of it; one that was left behind keeps its status page."""
        if not self._abandoned:
            super().close()
