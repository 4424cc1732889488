"""PersistentJob: what a process does that stays from one run to the next."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

from ...errors import PipelineError
from .failing import describe_failure, tell_failure
from .messages import BROKEN, DISMISS, LEFT, ORDER, STRANDED, kind_of
from .serve import Job, Tasks, Worker
from .status_writer import StatusWriter

__all__ = ["PersistentJob"]

# Items of a run that is over and that cannot be unpickled; more in a row are no items: the channel is gone.
_MOST_UNREADABLE = 100_000


@dataclass(frozen=True)
class PersistentJob(Job):
    """One job after the other, as it is ordered; what was set up for a job stays until the process ends.

    To the engine of each run, it looks like a worker that comes and leaves: it says `READY` when it begins a job, and
    `LEFT` when it was told to stop.
    """

    initializer: Callable[[], object] | None = None
    """Called before the first job."""

    @property
    def asks_memory(self) -> bool:
        """Whether the worker is to know how much memory it has: a job may want that."""
        return True

    def serve(self, tasks: Tasks, put: Callable[[Any], None], status_page: StatusWriter) -> None:
        """Work on what is ordered, until dismissed."""
        workers: dict[int, Worker] = {}
        torn: list[Any] = []
        initialized = False
        try:
            while (order := _next_order(tasks)) is not None:
                _, number, sealed, forgotten = order
                for each in forgotten:
                    if (old := workers.pop(each, None)) is not None:
                        old.tear_down_only(torn.append, _refuse_rest)
                if (worker := workers.get(number)) is None:
                    if not initialized and not self._initialize(put, status_page):
                        break
                    initialized = True
                    if (worker := _make(sealed, put, status_page)) is None:
                        break
                is_new = number not in workers
                workers[number] = worker
                with nullcontext() if worker.voice is None else worker.voice.speaking(put):
                    works = worker.set_up() if is_new else worker.begin()
                    if works:
                        worker.work(tasks)
                if not works or worker.is_worn:
                    break  # and with it all that is set up here
                put((LEFT,))
        finally:
            status_page.note_teardown()
            for worker in reversed(workers.values()):
                worker.tear_down_only(torn.append, _refuse_rest)
            for message in torn:
                put(message)
            put((LEFT,))

    def _initialize(self, put: Callable[[Any], None], status_page: StatusWriter) -> bool:
        if self.initializer is None:
            return True
        status_page.note_setup(True)
        try:
            self.initializer()
        except BaseException as error:
            tell_failure(put, BROKEN, 0, 1, error, what="the initializer of the workers raised")
            return False
        return True


def _refuse_rest(_: list[Any]) -> None:
    raise PipelineError(
        "a teardown() gave results, and its worker stays from one run to the next, so that there is no run any more "
        "that would take them; run the pipeline by itself"
    )


def _make(sealed: bytes, put: Callable[[Any], None], status_page: StatusWriter) -> Worker | None:
    """A worker that does this job, not yet set up; None: it has been said why there is none."""
    try:
        return Worker(pickle.loads(sealed), put, status_page)
    except BaseException as error:
        *_, traceback = describe_failure(error)
        put((STRANDED, f"its function cannot be had in a worker process: {error!r}", traceback))
        return None


def _next_order(tasks: Tasks) -> tuple[Any, ...] | None:
    """The next order; None: there will be none. What else comes was for a run that is over."""
    for _ in range(_MOST_UNREADABLE):
        try:
            while True:
                message = tasks.get()
                kind = kind_of(message)
                if kind == ORDER:
                    return cast("tuple[Any, ...]", message)
                if kind == DISMISS:
                    return None
        except Exception:
            continue
    return None
