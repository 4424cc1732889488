"""The errors of conveyor, each named by whose fault it is.

`Full`, `Empty` and (from Python 3.13) `ShutDown` are the standard library's own classes,
so that code written for `queue` and `multiprocessing` catches them unchanged.
"""

from __future__ import annotations

import signal as signals
import sys
import warnings
from queue import Empty, Full
from typing import TYPE_CHECKING

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """The queue was shut down: it takes no more items, and has none left to give.

        From Python 3.13 this is `queue.ShutDown`.
        """


__all__ = [
    "BadMessage",
    "BrokerUnreachable",
    "CodecMismatch",
    "ConveyorError",
    "CorruptSegment",
    "Empty",
    "Full",
    "ItemTimeout",
    "ItemTooLarge",
    "Lagged",
    "LeaseLost",
    "NotSupported",
    "OutOfMemory",
    "PipelineError",
    "ProducerLost",
    "SegmentGone",
    "ShutDown",
    "StageError",
    "TooManyFailures",
    "TooManyLeases",
    "VersionMismatch",
    "WorkerLost",
    "WorkerPoolBroken",
    "WorkerTimeout",
    "WrongKey",
    "WrongKind",
]


class ConveyorError(Exception):
    """Base class of the errors that only conveyor raises."""


class ItemTooLarge(ConveyorError, ValueError):
    """The caller's item can never fit in this queue; the text names its size and the bound."""


class CodecMismatch(ConveyorError, TypeError):
    """An item was put with another codec than this end of the queue has; it stays in the queue."""


class Lagged(ConveyorError):
    """The subscription asked to fail when it is too slow, and events that it had not read were overwritten.

    It is over: every further call raises this again. A new one may start at the oldest event kept.

    Attributes:
        missed: how many events it lost.
    """

    def __init__(self, missed: int = 0) -> None:
        super().__init__(missed)
        self.missed = missed

    def __str__(self) -> str:
        return (
            f"{self.missed} events were overwritten before this subscription had read them; raise the topic's "
            'max_bytes, read faster, or subscribe with when_slow="block" or "drop_oldest"'
        )


class LeaseLost(ConveyorError):
    """The lease is not the caller's any more: it was over, or the item was given back or acknowledged."""


class TooManyLeases(ConveyorError):
    """As many items are leased as a queue can keep track of; the next one stays in the queue."""


class OutOfMemory(ConveyorError, MemoryError):
    """The system would not give the memory; the item stays with the caller, the queue goes on."""


class CorruptSegment(ConveyorError, OSError):
    """What lies in the shared memory is not a sound conveyor segment."""


class VersionMismatch(CorruptSegment):
    """The segment was made by a conveyor of another layout version."""


class WrongKind(ConveyorError, OSError):
    """The name is taken by something else: a topic where a queue was asked for, say. The text says by what."""


class NotSupported(ConveyorError, NotImplementedError):
    """This transport cannot do that exactly, and does not do it nearly; the text says what to use instead."""


class BrokerUnreachable(ConveyorError, ConnectionError):
    """The broker could not be reached within the call's time; the text says what was tried, and what came of it.

    After a `put` that raises it, an item may be in the queue all the same: the broker was lost before it had said so.
    """


class BadMessage(ConveyorError, ValueError):
    """A message on a broker is damaged, or was written by something else in a way that this codec cannot read.

    It has been taken out of the queue, and is in the dead letters if there are some: the next call goes on behind it.

    Attributes:
        body: its bytes, as they came.
        content_type: what it says that they are.
    """

    def __init__(self, text: str, body: bytes = b"", content_type: str = "") -> None:
        super().__init__(text, body, content_type)
        self.body = body
        self.content_type = content_type

    def __str__(self) -> str:
        return str(self.args[0])


class WrongKey(BadMessage):
    """A message is not signed with a key of this end's, or it is signed, and this end has none.

    It was put with another key, changed on its way, or written by somebody who has no key. Nothing of it was decoded.
    """


class SegmentGone(ConveyorError, OSError):
    """The queue that this handle names no longer exists: every process that held it has gone."""


class ProducerLost(ConveyorError):
    """A process died inside `producing()`: all that it put was taken, but it had not come to its end.

    Every `get` raises it once the queue is drained, in the place of `ShutDown`; so does iterating. Of a topic each
    subscriber gets it that has received all events.

    Attributes:
        pid: the process.
        signal: the number of the signal that killed it; None: it exited by itself, or its parent had
            asked for its exit code before anybody looked.
        items: how many items it had put, or events published, since it entered `producing()`.
        others: how many more producers were lost.
        host: the machine that it ran on, of a queue on a broker or in a file; empty: this one. What it has put is then
            `items` at least: as many as it had reported.
    """

    def __init__(
        self, pid: int, signal: int | None = None, items: int = 0, others: int = 0, host: str = ""
    ) -> None:
        super().__init__(pid, signal, items, others, host)
        self.pid = pid
        self.signal = signal
        self.items = items
        self.others = others
        self.host = host

    def __str__(self) -> str:
        how = "ended" if self.signal is None else f"died, killed by {_name_of(self.signal)},"
        more = f"; {self.others} more were lost" if self.others else ""
        where = f" on {self.host}" if self.host else ""
        least = "at least " if self.host else ""
        return (
            f"producer process {self.pid}{where} {how} inside producing(), having put {least}{self.items} items"
            f"{more}; what was put has been taken, what was to follow is missing"
        )


def _name_of(signal: int) -> str:
    try:
        return signals.Signals(signal).name
    except ValueError:
        return f"signal {signal}"


class PipelineError(ConveyorError, ValueError):
    """The pipeline cannot run as it is described; the text names the stage and what to do."""


class StageError(ConveyorError):
    """A stage raised an exception that cannot be shown as itself; the text names its type and gives its text."""


class ItemTimeout(ConveyorError, TimeoutError):
    """An item took longer than its stage's `timeout`; its worker was replaced."""


class WorkerTimeout(ConveyorError, TimeoutError):
    """A worker's `setup()` or `teardown()` took longer than its stage's `setup_timeout` or `teardown_timeout`."""


class WorkerLost(ConveyorError):
    """A worker died on an item, or in its teardown.

    Attributes:
        pid: the process.
        exitcode: as of `multiprocessing.Process`: minus the signal's number, or the exit status. None: it cannot be
            known, for the program ignores SIGCHLD, or something in it waited for the process first.
    """

    def __init__(self, text: str, pid: int = 0, exitcode: int | None = 0) -> None:
        super().__init__(text, pid, exitcode)
        self.pid = pid
        self.exitcode = exitcode

    def __str__(self) -> str:
        return str(self.args[0])


class WorkerPoolBroken(ConveyorError):
    """Workers die one after another and none finishes an item, or none can be started: the run gave up."""


class TooManyFailures(ConveyorError):
    """More items failed than the run's `max_failures`; the last failure is the cause."""


if TYPE_CHECKING:
    WorkersLost = WorkerPoolBroken
else:

    def __getattr__(name: str) -> type[ConveyorError]:
        if name != "WorkersLost":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        through_package = sys._getframe(1).f_globals.get("__name__") == "conveyor._lazy"
        warnings.warn(
            "conveyor.WorkersLost is WorkerPoolBroken now; the former name will go",
            DeprecationWarning,
            stacklevel=3 if through_package else 2,
        )
        return WorkerPoolBroken
