"""The loop of a worker: items in, results out."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import Empty
from ..base.clock import SYSTEM, Clock
from .failing import Here, tell_failure
from .functions import NOTHING, PART_SIZE, FunctionChain, FunctionStep, Many
from .identity import Worker as Identity
from .messages import (
    AGAIN,
    BROKEN,
    DROPPED,
    FAILED,
    LEFT,
    LENT,
    MULTI_RESULT,
    PART,
    READY,
    REST,
    SEEDED,
    SLOW,
    TORN,
    VALUE,
    WORN,
    Unreadable,
    unlend,
)
from .native_threads import bound_threads
from .renewal import Renewal, Worn
from .seeding import Seeding
from .status_writer import LapCounter, StatusWriter

if TYPE_CHECKING:
    from .voice import Voice

__all__ = ["Job", "Tasks", "Worker", "back_off", "leave_if_forked", "serve", "unsendable"]


@dataclass(frozen=True)
class Job:
    """What a worker is to do."""

    links: tuple[FunctionStep, ...]
    retries: int = 0
    """How often the worker itself tries an item again; the engine does it otherwise."""
    backoff: float = 0.0
    eager: bool = False
    """Results of one item go on before it is done with: it will not be tried again, nor left out."""
    stage: str = ""
    """The name of the first of the stages."""
    count: int = 1
    """How many workers may do it at a time."""
    has_process: bool = False
    """Whether each of them is a process of its own."""
    item_seeds: int | None = None
    """What the seeds of items are made of; None: items come without their places, and have none."""
    max_items: int | None = None
    """After so many items a worker is renewed."""
    max_memory: int | None = None
    """When it has so many bytes of its own, too."""
    blas_threads: int | None = None
    """Threads at most of BLAS, OpenMP and the like in the worker's process; None: as many as they like."""
    voice: Voice | None = None
    """How what a process logs and prints comes to the program; None: it speaks for itself."""

    @property
    def asks_memory(self) -> bool:
        """Whether the worker is to know how much memory it has."""
        return self.max_memory is not None

    def serve(self, tasks: Tasks, put: Callable[[Any], None], status_page: StatusWriter) -> None:
        """Do it in a process; see the function `serve`."""
        if self.blas_threads is not None:
            bound_threads(self.blas_threads)
        with nullcontext() if self.voice is None else self.voice.speaking(put):
            serve(self, tasks, put, status_page)


class _Unwanted(BaseException):
    """Ends the work on an item of very many results, and the worker's."""


class _NoMore(BaseException):
    """Ends the work on a single message."""


class Tasks(Protocol):
    """The worker's end of its channel of tasks."""

    def get(self, block: bool = True) -> Any:
        """The next message; `Empty` if there is none and it must not block."""
        ...


def back_off(seconds: float, attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait before an item is tried again: doubled each time, up to a minute, and spread by half.

    The spread keeps items that failed together from coming back together ("Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015).

    Args:
        seconds: before the second attempt.
        attempt: how often it was tried.
        uniform: draws a number between two others.
    """
    return min(seconds * 2.0 ** (attempt - 1), max(60.0, seconds)) * uniform(0.5, 1.0)


def serve(
    job: Job, tasks: Tasks, put: Callable[[Any], None], status_page: StatusWriter, here: Here = False
) -> None:
    """Apply the job's functions to what comes, until told to stop.

    Args:
        job: what to do.
        tasks: where items come from.
        put: takes results and other messages.
        status_page: where to write what is done when, and which of several functions is at work; it outlives a death.
        here: the engine is in this process.
    """
    worker = Worker(job, put, status_page, here)
    try:
        if worker.set_up():
            worker.work(tasks)
    finally:
        worker.tear_down()


class Worker:
    """What a worker does, from its setup to its last word. All that it says goes to `put`, in order.

    Args:
        job, put, status_page, here: see `serve`.
        clock: the time, and what pauses are made with.
        part_size: results of one item that are sent at a time.
    """

    def __init__(
        self,
        job: Job,
        put: Callable[[Any], None],
        status_page: StatusWriter,
        here: Here = False,
        clock: Clock = SYSTEM,
        part_size: int = PART_SIZE,
    ) -> None:
        self._put = put
        self._status_page = status_page
        self._here: Here = here
        self._clock = clock
        self._identity = Identity(job.stage, job.count, status_page.identity)
        self._chain = FunctionChain(
            job.links, self._part, status_page.note_link, job.eager, clock, part_size, self._identity
        )
        self._seeding = Seeding(self._identity, job.item_seeds, job.has_process)
        self._job = job
        self.is_worn = False
        """Whether it is to be renewed."""
        self._meter: LapCounter | None = None

    def _part(self, values: list[Any]) -> None:
        if self._status_page.unwanted:
            raise _Unwanted
        self._put((PART,))
        try:
            self._put(values)
        except Exception as error:
            error.add_note(unsendable((MULTI_RESULT, values)))
            self._put([])  # or what comes next would be taken for them
            raise

    def set_up(self) -> bool:
        """Make what is to be made and set it up; returns whether it can work. `tear_down` is to follow in any case."""
        self._status_page.note_setup(True)
        try:
            self._seeding.begin()
            self._chain.set_up()
        except BaseException as error:
            tell_failure(self._put, BROKEN, self._chain.position, 1, error, self._here)
            return False
        self._status_page.note_setup(False)
        return self.begin()

    def begin(self) -> bool:
        """It is set up: say that it is there, and work or wait from now on; returns that it can."""
        self._identity.read()
        self._put((READY,))
        meter: LapCounter = self._status_page.meter()
        job, before = self._job, self._meter
        if job.max_items or job.max_memory:
            left = before.left if isinstance(before, Renewal) else job.max_items
            meter = Renewal(meter, left, job.max_memory, self._status_page, self._clock.now)
        self._meter = meter
        return True

    def tear_down(self) -> None:
        """Tear down what was set up, give what comes of that, and say the last word."""
        self._status_page.note_teardown()
        self.tear_down_only(self._put, self._rest)
        self._put((LEFT,))

    def tear_down_only(self, put: Callable[[Any], None], rest: Callable[[list[Any]], None]) -> None:
        """Tear down what was set up.

        Args:
            put: is given a message for each that raises.
            rest: takes what they give.
        """
        here = self._here
        self._seeding.end()
        self._chain.tear_down(lambda position, error: tell_failure(put, TORN, position, 1, error, here), rest)

    def _rest(self, values: list[Any]) -> None:
        try:
            self._put((REST, values))
        except Exception as error:
            error.add_note(unsendable((MULTI_RESULT, values)))
            raise

    @property
    def voice(self) -> Voice | None:
        """How it speaks."""
        return self._job.voice

    def serve_one(self, message: Any) -> bool:
        """Do what `work` does about this message; returns whether another may follow.

        Args:
            message: what came; `Unreadable`: it could not be unpickled.
        """
        return self.work(_Single(message))

    def work(self, tasks: Tasks) -> bool:
        """Work on messages until one says to leave, or it is to be renewed; returns whether it was neither of these."""
        try:
            return self._work(tasks)
        except Worn as worn:
            if worn.took:
                self._put((SLOW, worn.took))
            self.is_worn = True
            self._identity.wear_out()
            self._put((WORN,))
            return False

    def _work(self, tasks: Tasks) -> bool:
        assert self._meter is not None, "it is set up"
        put, chain, here, meter = self._put, self._chain, self._here, self._meter
        get, lap = tasks.get, meter.lap
        pid = os.getpid()
        insisting = (
            _Insisting(self._job, chain, meter, self._clock, self._status_page) if self._job.retries else None
        )
        call = chain.call if insisting is None else insisting.call
        while True:
            try:
                try:
                    task = get(False)
                except Empty:
                    task = result = None  # what they hold is not kept while there is nothing to do
                    meter.idle()
                    try:
                        task = get()
                    finally:
                        meter.begin()
                if type(task) is tuple:
                    if task[0] == SEEDED:
                        self._seeding.begin_item(task[1])  # pyright: ignore[reportUnknownArgumentType]
                        task = task[2]  # pyright: ignore[reportUnknownVariableType]
                    if type(task) is not tuple:  # pyright: ignore[reportUnknownArgumentType]
                        pass
                    elif task[0] == VALUE:
                        task = task[1]  # pyright: ignore[reportUnknownVariableType]
                    elif task[0] == LENT:
                        task = unlend(task)  # pyright: ignore[reportUnknownArgumentType]
                    elif task[0] == AGAIN:
                        assert insisting is not None, "the engine counts attempts itself"
                        _, insisting.tried, task = task  # pyright: ignore[reportUnknownVariableType]
                    else:
                        meter.idle()
                        return False
                result = call(task)
                if type(result) is tuple:
                    result = (VALUE, result)  # pyright: ignore[reportUnknownVariableType]
                elif result is NOTHING:
                    result = (DROPPED,)
                elif type(result) is Many:
                    result = (MULTI_RESULT, list(result))
                try:
                    put(result)
                except Exception as error:
                    leave_if_forked(pid)
                    tell_failure(put, FAILED, chain.position, 1, error, here, unsendable(result))
            except _NoMore:
                return True
            except _Unwanted:
                return False
            except BaseException as error:  # even SystemExit: it must not pass for the worker's own end
                leave_if_forked(pid)
                _put_failure(error, chain, put, here)
            took = lap()
            if took:
                put((SLOW, took))


class _Single:
    """A channel of one message."""

    def __init__(self, message: Any) -> None:
        self._message = [message]

    def get(self, block: bool = True) -> Any:
        """The message; `_NoMore` when it is taken."""
        if not self._message:
            raise _NoMore
        message = self._message.pop()
        if type(message) is Unreadable:
            raise message.error
        return message


def _put_failure(error: BaseException, chain: FunctionChain, put: Callable[[Any], None], here: Here) -> None:
    attempts = getattr(error, "_conveyor_attempts", 1)
    tell_failure(put, FAILED, chain.position, attempts, error, here)


def unsendable(message: Any) -> str:
    """What to say when a result, or several, cannot be sent."""
    kind, result = None, message
    if type(message) is tuple:
        parts: tuple[Any, ...] = message  # pyright: ignore[reportUnknownVariableType]
        kind, result = parts[0], parts[-1]
    what = "one of the results" if kind == MULTI_RESULT else f"the result, of type {type(result).__name__},"
    text = f"{what} cannot be sent to the program"
    if isinstance(result, Iterator):
        text += " (give a list, or say flat_map() if its values are to go on one by one)"
    return text


def leave_if_forked(pid: int) -> None:
    """End this process if it is no worker, but a child that a function forked and returned in: the item has its result.

    Args:
        pid: the worker.
    """
    if os.getpid() != pid:
        text = f"conveyor: a function forked, and returned in the child {os.getpid()}, too, which ends here\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode())
        os._exit(1)


class _Insisting:
    """Tries an item again by itself, for the next one of its key must wait for it."""

    def __init__(
        self, job: Job, chain: FunctionChain, meter: LapCounter, clock: Clock, status_page: StatusWriter
    ) -> None:
        self._clock = clock
        self._job = job
        self._chain = chain
        self._meter = meter
        self._status_page = status_page
        self.tried = 0
        """How often others have tried the next item."""

    def call(self, item: Any) -> Any:
        # Each attempt gets the item as it came.
        again = pickle.dumps(item)
        tried, self.tried = self.tried, 0
        most = self._job.retries + 1 - tried
        for attempt in range(1, most + 1):
            self._status_page.note_attempt(attempt)
            try:
                return self._chain.call(item)
            except Exception as error:
                # Results that were sent cannot be taken back, and the next attempt would give them once more.
                if attempt == most or self._chain.has_sent:
                    error._conveyor_attempts = attempt  # type: ignore[attr-defined]
                    raise
            # The pause is no work, and not the item's time.
            self._meter.pause()
            self._clock.sleep(back_off(self._job.backoff, tried + attempt, self._clock.uniform))
            self._meter.begin()
            item = pickle.loads(again)
        raise AssertionError("it was tried more often than it may be")
