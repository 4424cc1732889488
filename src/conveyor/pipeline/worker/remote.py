"""serve_remotely: what an executor of the user's is given to call: some messages to a worker, and their answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from .messages import READY, SLOW, kind_of
from .serve import Job, Worker
from .status_page import STEPS, StatusPage

__all__ = ["RemoteAnswer", "RemoteJob", "serve_remotely"]

_MOST_KEPT = 64


@dataclass(frozen=True)
class RemoteJob:
    """What is to be done to items, and a name by which a process of the executor's knows it again."""

    name: str
    job: Job | None
    """None: it is large, and was sent before, as is hoped, to the process that gets this."""


@dataclass
class RemoteAnswer:
    """What came of some messages, and what it took."""

    messages: list[Any] = field(default_factory=list[Any])
    """What a worker would have put, in order."""
    busy: int = 0
    """Nanoseconds."""
    items: int = 0
    histogram: dict[int, int] = field(default_factory=dict[int, int])
    """How many items took how long; see `step_seconds`."""
    unknown: bool = False
    """Nothing was done, for this process does not have the job."""


class _Kept(threading.local):
    """The workers of this thread, by the names of their jobs: each is set up once."""

    def __init__(self) -> None:
        self.workers: dict[str, _Answering] = {}


class _Answering:
    """A worker whose answers are collected."""

    def __init__(self, job: Job) -> None:
        self.answers: list[Any] = []
        self.status_page = StatusPage(-1)
        self.worker = Worker(job, self._put, self.status_page)
        self.works = self.worker.set_up()

    def _put(self, message: Any) -> None:
        self.answers.append(message)


_kept = _Kept()


def serve_remotely(remote: RemoteJob, messages: list[Any]) -> RemoteAnswer:
    """Do what a worker of this job does about these messages; the executor runs it, wherever it likes.

    A class with `setup()` is set up once in each thread of the executor's. Nothing tells when it has ended, so that
    there is no teardown.
    """
    kept = _kept.workers.get(remote.name)
    if kept is None:
        if remote.job is None:
            return RemoteAnswer(unknown=True)
        while len(_kept.workers) >= _MOST_KEPT:
            del _kept.workers[next(iter(_kept.workers))]
        kept = _Answering(remote.job)
        if kept.works:
            _kept.workers[remote.name] = kept
    page = kept.status_page
    busy, items, before = page.busy, page.items, page.histogram()
    if kept.works:
        for message in messages:
            kept.worker.serve_one(message)
    answers, kept.answers = kept.answers, []
    after = page.histogram()
    return RemoteAnswer(
        [answer for answer in answers if kind_of(answer) not in (READY, SLOW)],
        page.busy - busy,
        page.items - items,
        {step: after[step] - before[step] for step in range(STEPS) if after[step] != before[step]},
    )
