"""ProcessHand: a worker that is a process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import signal
import threading
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, cast

from ..errors import Empty, PipelineError
from ..queue import Queue
from ..workers.messages import Unreadable, is_stop
from ..workers.process import work
from ..workers.serve import Job
from ..workers.slate import Slate
from .hand import Hand
from .owner import Owner

__all__ = ["ProcessHand"]

_AT_A_TIME = 16384
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Results that may wait to be collected; a worker that makes more is held up.
_RESULT_BYTES = 256 * 1024 * 1024


class ProcessHand(Hand):
    """A worker process, and its two queues.

    Args:
        owner: the stage.
        job: what the worker does.
        context: where processes come from.
    """

    def __init__(self, owner: Owner, job: Job, context: BaseContext) -> None:
        super().__init__(owner, Slate())
        self.lends = owner.lends
        self._tasks: Queue[Any] = Queue()
        self._results: Queue[Any] = Queue(max_bytes=_RESULT_BYTES)
        main = threading.current_thread() is threading.main_thread()
        job = dataclasses.replace(job, started_by_main_thread=main)
        # typeshed has Process in the subclasses of BaseContext only.
        self.process: BaseProcess = cast("Any", context).Process(
            target=work, args=(job, self._tasks, self._results, self.slate)
        )
        # A Ctrl-C before the child has its own handlers would run ours in it. A fork server has none of ours, and
        # would keep for all its children, the program's own too, what is blocked when it is started.
        inherits = context.get_start_method() != "forkserver"
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS if inherits else ())
        try:
            self.process.start()
        except EOFError:
            # The fork server was killed, by a signal to the whole group for one: now there is a new one.
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        assert self.process.pid is not None  # it is started
        self.pid = self.process.pid
        self.sentinel = self.process.sentinel
        self._token = self._results._reader.fileno()  # pyright: ignore[reportPrivateUsage]

    @classmethod
    def start(cls, owner: Owner, job: Job, context: BaseContext) -> ProcessHand:
        """Start one.

        Raises:
            PipelineError: what it is to do cannot be sent to it.
            OSError: the system gives no memory, or no more processes.
        """
        try:
            return cls(owner, job, context)
        except EOFError as error:
            raise OSError("the fork server was killed, and the one in its place, too") from error
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PipelineError(
                f"stage {owner.stage!r} cannot be sent to a worker process: {error}; "
                "define its function at the top of a module, or use threads="
            ) from error

    @property
    def token(self) -> int:
        """The descriptor that is readable when there are results."""
        return self._token

    @property
    def channel(self) -> Queue[Any]:
        """Where results come."""
        return self._results

    def _send(self, messages: list[Any]) -> None:
        self._tasks.put_many(messages)

    def _take(self) -> list[Any]:
        try:
            return self._results._take_each(_AT_A_TIME, Unreadable)  # pyright: ignore[reportPrivateUsage]
        except Empty:
            return []

    def _recall(self) -> int:
        count = 0
        with contextlib.suppress(Empty):
            while True:
                taken = self._tasks._take_each(_AT_A_TIME, Unreadable)  # pyright: ignore[reportPrivateUsage]
                count += sum(not is_stop(message) for message in taken)
        return count

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        return not self._results.empty()

    def kill(self) -> None:
        """End it at once, together with the programs that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # not in a group of its own yet, or gone
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def gone(self) -> bool:
        """Whether it has ended."""
        return self.process.exitcode is not None

    def close(self) -> None:
        """Wait for the end of a process that is ending, and let go of what belongs to it."""
        self.process.join()
        popen: Any = cast("Any", self.process)._popen
        if popen.returncode is None:  # a signal's exception came just when its exit code had been fetched
            popen.returncode = 255
            self.process.join()
        self.process.close()
        super().close()
