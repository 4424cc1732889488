"""FailurePolicy: what becomes of a run when an item, or something else in it, fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import TooManyFailures
from ..base.events import Event, ItemFailed, ItemRetried
from ..base.failure import Failure
from ..base.retry import Retry
from ..flow.chunk import ABANDONED, NO_RESULT
from ..graph.stage import Stage
from ..operators.source import SourceNode
from ..worker.serve import back_off

__all__ = ["FailurePolicy"]

_LEAST = 100  # `max_failures` as a share is not asked of fewer items


class FailurePolicy:
    """The part of an `Engine` that decides on failures; nobody else does.

    Args:
        halt_now, max_failures, dead_letter: see `Engine`.
    """

    sources: list[SourceNode]
    uniform: Callable[[float, float], float]
    """A number drawn between two others."""

    def __init__(
        self,
        halt_now: bool,
        max_failures: int | float | None,
        dead_letter: Callable[[Failure, Any], None] | None,
    ) -> None:
        self._halt_now = halt_now
        self._max_failures = max_failures
        self._dead_letter = dead_letter
        self.error: BaseException | None = None
        """What the run is to raise."""
        self.failed = self.lost = 0
        """Items that were given up; those of them whose worker died."""

    def tell(self, event: Event) -> None:
        """Pass on news to the caller of the run."""
        raise NotImplementedError

    def halt(self) -> None:
        """End now."""
        raise NotImplementedError

    def finish_begun(self) -> None:
        """Begin nothing more, finish what workers have begun, and end."""
        raise NotImplementedError

    def decide(self, failure: Failure, stage: Stage, *, may_retry: bool, origin: Any = None) -> Any:
        """Decide what becomes of an item that failed.

        It is tried again while it may be: `stage.retries` times, after a back-off, and not when some of its results
        are out or nothing is begun any more. An item with a key is different only in who tries it again: its worker
        does so by itself, since the next item of the key must wait for it (`worker/serve.py`), so that what is
        reported here has had all its attempts; but when the worker itself is gone, the item is decided on here, and
        is tried again at once by the next worker of its slot.

        Else it has failed for good. That is told and counted, and `stage.on_error` says what takes its place.

        Args:
            failure: what happened; its `attempts` are those of all workers.
            stage: whose function failed.
            may_retry: whether another attempt is possible at all.
            origin: what of the source the item came of; None: nobody keeps account of that.

        Returns:
            A `Retry`, or the entry that takes the place of a result: the failure itself for "yield", `NO_RESULT`, or
            `ABANDONED` where the run ends by it.
        """
        keyed = stage.key is not None
        worker_is_gone = failure.kind in ("WorkerLost", "ItemTimeout")
        if may_retry and failure.attempts <= stage.retries and (worker_is_gone or not keyed):
            backs_off = stage.backoff and not keyed
            seconds = back_off(stage.backoff, failure.attempts, self.uniform) if backs_off else 0.0
            self.tell(ItemRetried(failure, seconds))
            return Retry(failure, seconds)
        self.failed += 1
        if failure.kind == "WorkerLost":
            self.lost += 1
        self.tell(ItemFailed(failure))
        if stage.on_error == "stop":
            self.fail(failure.exception(), now=self._halt_now)
            return ABANDONED
        if stage.on_error == "yield":
            return failure
        try:
            if stage.on_error == "dead_letter" and self._dead_letter is not None:
                self._dead_letter(failure, origin)
            elif callable(stage.on_error):
                stage.on_error(failure)
        except Exception as error:
            error.add_note(f"while stage {failure.stage!r} told of the failure of {failure.item!r:.80}")
            self.fail(error)
            return ABANDONED
        if (limit := self._too_many(failure)) is not None:
            self.fail(limit, now=self._halt_now)
        return NO_RESULT

    def _too_many(self, last: Failure) -> TooManyFailures | None:
        """What is to be raised when more items have failed than may; None: nothing."""
        most = self._max_failures
        taken = sum(source.given for source in self.sources)
        if most is None or self.failed <= (most if isinstance(most, int) else most * max(taken, _LEAST)):
            return None
        bound = f"{most:,}" if isinstance(most, int) else f"{most:.3g} of {taken:,}"
        error = TooManyFailures(f"{self.failed:,} items failed; max_failures is {bound}")
        error.__cause__ = last.exception()
        return error

    def fail(self, error: BaseException, now: bool = True) -> None:
        """The run cannot go on: end it, and raise this."""
        self.fail_after(error)
        if now:
            self.halt()
        else:
            self.finish_begun()

    def fail_after(self, error: BaseException) -> None:
        """Raise this when all that was taken in is finished; of several errors the first, which names the others.

        Several workers may fail for one reason: what was said is not said again.
        """
        if self.error is None:
            self.error = error
        elif self.error is not error:
            notes = getattr(error, "__notes__", [])
            said = getattr(self.error, "__notes__", [])[: len(notes)]
            if (type(error), str(error), notes) == (type(self.error), str(self.error), said):
                return
            self.error.add_note(f"then {type(error).__name__}: {error!s:.1000}")
            for note in notes:
                self.error.add_note(f"  {note}")
