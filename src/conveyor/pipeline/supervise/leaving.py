"""Leaving: what becomes of a run by the setups and teardowns of the workers of one stage."""

from __future__ import annotations

import pickle
from typing import Any

from ...errors import WorkerLost, WorkerTimeout
from ..base.events import WorkerStuck, describe_exit
from ..base.failure import Failure
from ..graph.stage import Stage
from .engine_context import EngineContext
from .handle import WorkerHandle
from .lifecycle import has_teardown
from .limits import LEAVE_SECONDS, Limits
from .stint import Stint

__all__ = ["Leaving"]


class Leaving:
    """Tells the run of setups and teardowns that fail, and of workers that do not leave.

    What a teardown raises is an error of the run, which ends when what was taken in is finished: a worker leaves when
    it has done its part, so that nothing is to be done again.

    Args:
        context: the engine.
        specs: the stage's functions.
        limits: how long they may take.
    """

    def __init__(self, context: EngineContext, specs: list[Stage], limits: Limits) -> None:
        self._context = context
        self._specs = specs
        self._limits = limits
        self._told = False

    def error_of(self, handle: WorkerHandle, words: tuple[Any, ...], what: str) -> BaseException:
        """The exception that a worker's setup or teardown raised, with a note that names the stage.

        Args:
            handle: the worker.
            words: what it said: fields of a failure.
            what: `setup` or `teardown`.
        """
        link, attempts, pickled, kind, message, where, traceback = words
        name = self._specs[int(link)].name
        failure = Failure(name, 0, None, attempts, kind, message, where, traceback, handle.pid, pickled)
        error = failure.exception()
        error.__notes__[-1:] = [f"in the {what} of a worker of stage {name!r}"]
        return error

    def too_long(self, handle: WorkerHandle, stint: Stint) -> tuple[Any, ...]:
        """Fields of a failure: the worker took too long for its setup or teardown."""
        limit = self._limits.of(stint)
        error = WorkerTimeout(
            f"{stint.value}() took longer than {limit:g} s, the stage's {stint.value}_timeout"
        )
        return self._link(handle), 1, pickle.dumps(error), type(error).__name__, str(error), "", ""

    def stuck(self, handle: WorkerHandle) -> None:
        """A worker that had nothing left to do did not leave."""
        if self._limits.cut_short_at is not None:
            handle.end = "stopped"
            return
        handle.end = "did not leave"
        self._context.tell(WorkerStuck(handle.pid, LEAVE_SECONDS))

    def hear(self, handle: WorkerHandle) -> None:
        """Tell the run of what the worker's teardown raised."""
        for words in handle.torn:
            handle.end = "its teardown failed"
            self._fail(self.error_of(handle, words, "teardown"))
        handle.torn.clear()

    def gone(self, handle: WorkerHandle) -> None:
        """A worker that was told to leave is gone: see whether it has done its teardown."""
        self.hear(handle)
        if handle.broken is not None:  # nobody needed it
            handle.end = "could not be set up"
        if handle.left_at or handle.overdue_in is not None or not handle.can_die or not handle.ready:
            return
        if not any(has_teardown(spec.function) for spec in self._specs):
            return  # it had nothing left to do
        if handle.status_page.teardown_since:
            when = "in its teardown"
        elif self._limits.cut_short_at is None:
            when = "before its teardown"
        else:
            return
        exitcode = handle.exitcode
        handle.end = describe_exit(exitcode, self._context.exit_cause(exitcode))
        was = "was " if exitcode is not None and exitcode < 0 else ""
        error = WorkerLost(f"its worker process {handle.pid} {was}{handle.end} {when}", handle.pid, exitcode)
        error.add_note(f"in the teardown of a worker of stage {self._specs[self._link(handle)].name!r}")
        self._fail(error)

    def _link(self, handle: WorkerHandle) -> int:
        return handle.status_page.link if handle.status_page.link < len(self._specs) else 0

    def _fail(self, error: BaseException) -> None:
        if not self._told:  # what one cannot tear down, the others often cannot either
            self._context.fail_after(error)
            self._context.drain()
        self._told = True
