"""How an engine starts its workers, be they processes, threads or coroutines."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any

from ..graph.stage import Where
from ..sources.resolve import make_source
from ..sources.source import Source
from ..start.make_starter import make_starter
from ..start.starter import Starter
from ..worker.serve import Job
from .handle import WorkerHandle
from .process_worker import ProcessWorker
from .stage_port import StagePort
from .thread_worker import ThreadWorker

if TYPE_CHECKING:
    from ..host.event_loop import Loop
    from ..worker.remote import RemoteJob

__all__ = ["Hiring"]


class Hiring:
    """Starts workers.

    Args:
        context: where processes come from.
        stdout_to_stderr: what the functions print in worker processes goes to standard error.
        tell: called, in any thread, with a handle that is no process when it has results.
        failed: see `Loop`.
        loop: the event loop for coroutines; None: one is made when it is needed.
    """

    def __init__(
        self,
        context: BaseContext,
        stdout_to_stderr: bool,
        tell: Callable[[WorkerHandle], None],
        failed: Callable[[BaseException], None],
        loop: Loop | None = None,
    ) -> None:
        self._failed = failed
        self._context = context
        self._stdout_to_stderr = stdout_to_stderr
        self._tell = tell
        self._starter: Starter | None = None
        self._loop = loop
        self._remote: dict[int, RemoteJob] = {}  # by the identity of a job, which the stage keeps

    def get_ready(self, jobs: list[Job]) -> None:
        """Get ready to start processes; to be called before anything of the program's runs in a thread of ours. Whoever
        runs the engine itself in such a thread calls it before, and the engine's own call finds it done.

        Args:
            jobs: what the processes may have to do.
        """
        if jobs and self._starter is None:
            self._starter = make_starter(self._context, jobs, self._stdout_to_stderr)

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """Start a worker; see `Desk.start_worker`."""
        if where == "executor":
            from .executor_worker import ExecutorWorker, remote_job

            remote = self._remote.setdefault(id(job), remote_job(job))
            return ExecutorWorker(stage_port, remote, stage_port.executor, self._tell, self._failed)
        if where == "inline":
            from .inline_worker import InlineWorker

            return InlineWorker(stage_port, job, self._tell)
        if where == "threads":
            return ThreadWorker(stage_port, job, self._tell)
        if where == "coroutines":
            from .coroutine_worker import CoroutineWorker

            return CoroutineWorker(stage_port, job, self.loop(), self._tell)
        assert self._starter is not None, "get_ready was not told of it"
        return ProcessWorker.start(stage_port, job, self._starter)

    def source(self, given: Any, wake: Callable[[], None], leased: bool) -> Source[Any]:
        """What reads from a pipeline's source."""
        return make_source(given, wake, self.loop, leased)

    def loop(self) -> Loop:
        """The event loop for coroutines."""
        from ..host.event_loop import Loop  # asyncio takes long to import

        if self._loop is None:
            self._loop = Loop(self._failed)
        return self._loop

    def end_processes(self) -> None:
        """No worker process will be started any more; those that were have ended."""
        starter, self._starter = self._starter, None
        if starter is not None:
            starter.close()

    def end_loop(self) -> None:
        """No coroutine will run any more."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
