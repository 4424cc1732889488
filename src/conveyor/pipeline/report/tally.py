"""Tally: what has become of the items of a run that failed."""

from __future__ import annotations

from typing import Any

from ...queues.dead_letter import DeadLetter
from ..base.events import Event, ItemFailed, ItemRetried
from ..base.failure import Failure
from .failure_groups import FailureGroups

__all__ = ["Tally"]

_MOST_LETTERS = 10_000
_MOST_FAILURES = 100


class Tally:
    """Counts failures and retries, keeps the first failures, and passes dead letters on.

    Args:
        dead_letters: a queue or a list that gets them; None: they are kept, the first 10,000.
    """

    def __init__(self, dead_letters: Any = None) -> None:
        self._target = dead_letters
        self.letters: list[DeadLetter[Any]] = []
        self.failures: list[Failure] = []
        """The first 100."""
        self.groups = FailureGroups()
        self.failed = self.retried = self.dead = 0

    @property
    def has_target(self) -> bool:
        """Whether somebody is given the dead letters."""
        return self._target is not None

    def note(self, event: Event) -> None:
        """Count what has happened."""
        if isinstance(event, ItemFailed):
            self.failed += 1
            self.groups.note(event.failure, given_up=True)
            if len(self.failures) < _MOST_FAILURES:
                self.failures.append(event.failure.lightened())
        elif isinstance(event, ItemRetried):
            self.retried += 1
            self.groups.note(event.failure, given_up=False)

    def dead_letter(self, failure: Failure) -> None:
        """Put an item that failed for good where dead letters go.

        Raises:
            Exception: what the target raises.
        """
        self.dead += 1
        letter: DeadLetter[Any] = DeadLetter(failure.item, failure.attempts, str(failure), failure.pid)
        if self._target is None:
            if len(self.letters) < _MOST_LETTERS:
                self.letters.append(letter)
        elif hasattr(self._target, "put"):
            self._target.put(letter)
        else:
            self._target.append(letter)
