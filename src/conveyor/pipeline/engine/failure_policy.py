"""FailurePolicy: what becomes of a run when an item, or something else in it, fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.events import Event, ItemFailed
from ..base.failure import Failure
from ..flow.chunk import ABANDONED, NO_RESULT
from ..graph.stage import OnError
from ..operators.source import SourceNode
from .failure_limit import too_many

__all__ = ["FailurePolicy"]


class FailurePolicy:
    """The part of an `Engine` that decides on failures.

    Args:
        halt_now, max_failures, bury: see `Engine`.
    """

    sources: list[SourceNode]

    def __init__(
        self, halt_now: bool, max_failures: int | float | None, bury: Callable[[Failure], None] | None
    ) -> None:
        self._halt_now = halt_now
        self._max_failures = max_failures
        self._bury = bury
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

    def item_failed(self, failure: Failure, on_error: OnError) -> Any:
        """An item is given up; returns what takes its place among the results, or `NO_RESULT`."""
        self.failed += 1
        if failure.kind == "WorkerLost":
            self.lost += 1
        self.tell(ItemFailed(failure))
        if on_error == "stop":
            self.fail(failure.exception(), now=self._halt_now)
            return ABANDONED
        if on_error == "yield":
            return failure
        told = self._bury if on_error == "dead_letter" else on_error
        if callable(told):
            try:
                told(failure)
            except Exception as error:
                error.add_note(f"while stage {failure.stage!r} told of the failure of {failure.item!r:.80}")
                self.fail(error)
                return ABANDONED
        self._check_failures(failure)
        return NO_RESULT

    def _check_failures(self, failure: Failure) -> None:
        taken = sum(source.given for source in self.sources)
        if (error := too_many(self._max_failures, self.failed, taken, failure)) is not None:
            self.fail(error, now=self._halt_now)

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
