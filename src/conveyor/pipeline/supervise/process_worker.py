"""ProcessWorker: a worker that is a process."""

from __future__ import annotations

import contextlib
import pickle
from typing import TYPE_CHECKING, Any

from ...errors import Empty, PipelineError
from ...queues.queue import Queue
from ..start.starter import Starter
from ..start.worker_process import WorkerProcess
from ..worker.messages import Unreadable, is_stop
from ..worker.serve import Job
from .channels import Channels, closed_on_failure
from .handle import WorkerHandle
from .stage_port import StagePort
from .worker_stats import peak_memory

if TYPE_CHECKING:
    from .poller import Poller

__all__ = ["ProcessWorker"]

_AT_A_TIME = 16384


class ProcessWorker(WorkerHandle):
    """A worker process, and its two queues.

    Args:
        stage_port: the stage.
        channels: what it and the process say to each other by.
    """

    tells_again = True
    can_die = True
    process: WorkerProcess
    """Set as soon as it is there."""

    def __init__(self, stage_port: StagePort, channels: Channels) -> None:
        super().__init__(stage_port, channels.status_page)
        self.shares_memory = stage_port.shares_memory
        self._tasks = channels.tasks
        self._results = channels.results
        self._stops = 0  # sent since it was last asked for what it has not taken
        self.channel: Queue[Any] = self._results
        self._token = self._results._reader.fileno()  # pyright: ignore[reportPrivateUsage]

    @classmethod
    def start(cls, stage_port: StagePort, job: Job, starter: Starter) -> ProcessWorker:
        """Start a process for it.

        Args:
            stage_port: the stage.
            job: what the worker does.
            starter: starts the process.

        Raises:
            PipelineError: what it is to do cannot be sent to it.
            OSError: the system gives no memory, or no more processes.
        """
        channels = Channels.make(stage_port.stage)
        made = cls(stage_port, channels)
        try:
            with closed_on_failure(channels.status_page):
                made.work_in(starter.start(job, *channels))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PipelineError(
                f"stage {stage_port.stage!r} cannot be sent to a worker process: {error}; "
                "define its function at the top of a module, or use threads="
            ) from error
        return made

    def work_in(self, process: WorkerProcess) -> None:
        """This is the process."""
        self.process = process
        self.pid = process.pid

    @property
    def token(self) -> int:
        """The descriptor that is readable when there are results."""
        return self._token

    @property
    def exitcode(self) -> int | None:
        """How it ended; None: it lives, or that cannot be known."""
        return self.process.exitcode

    def watch(self, poller: Poller) -> None:
        """Have the poller tell of its results and of its death."""
        poller.add(self._token, self.process.sentinel)

    def unwatch(self, poller: Poller) -> None:
        """It is gone."""
        poller.remove(self._token, self.process.sentinel)

    def listen(self, poller: Poller, wanted: bool) -> None:
        """Say to the poller whether its results are wanted now."""
        poller.listen(self._token, wanted)

    def may_be_gone(self, found: set[Any]) -> bool:
        """Whether the kernel has told of its end."""
        return self.process.sentinel in found

    def crash(self) -> tuple[str, ...]:
        """Where native code crashed it."""
        return self.status_page.crash()

    def peak_memory(self) -> int:
        """The most memory that it had in RAM, in bytes; 0 if that cannot be told."""
        return peak_memory(self.pid)

    def last_words(self) -> str | None:
        """What it wrote to standard error before it ran any code of ours; None: it has run some."""
        return None if self.status_page.arrived else self.process.last_words()

    def _send(self, messages: list[Any]) -> None:
        self._tasks.put_many(messages)
        if is_stop(messages[-1]):
            self._stops += 1

    def _take(self) -> list[Any]:
        try:
            return self._results._take_each(_AT_A_TIME, Unreadable)  # pyright: ignore[reportPrivateUsage]
        except Empty:
            return []

    def _recall(self) -> int:
        if self.shares_memory:
            return sum(not is_stop(message) for message in self._recalled())
        # Nothing is unpickled here, for what an item does then is the worker's affair. A worker that has taken one
        # STOP has taken all before it.
        stops, self._stops = self._stops, 0
        return max(self._tasks.purge() - stops, 0)

    def _recalled(self) -> list[Any]:
        """Take back the messages that the worker has not taken."""
        recalled: list[Any] = []
        with contextlib.suppress(Empty):
            while True:
                recalled += self._tasks._take_each(_AT_A_TIME, Unreadable)  # pyright: ignore[reportPrivateUsage]
        return recalled

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        return not self._results.empty()

    def kill(self) -> None:
        """End it at once, together with the programs that it started."""
        self.process.kill()

    def end_programs(self) -> None:
        """It has crashed: end the programs that it started."""
        self.process.kill_programs()

    def gone(self) -> bool:
        """Whether it has ended."""
        return self.process.ended()

    def close(self) -> None:
        """Wait for the end of a process that is ending, and let go of what belongs to it."""
        self.process.close()
        super().close()
