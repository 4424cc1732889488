"""Failure: an item that a stage could not deal with, and why."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass, field
from typing import Any

from ..._public import public
from ...errors import StageError
from .format import short
from .weight import weigh

__all__ = ["Failure", "InWorker"]

# Bytes of a pickled exception that a report keeps.
_LIGHT = 64 * 1024


@public
@dataclass(frozen=True, slots=True)
class Failure:
    """An item that failed in a stage: what `on_error` functions and `stream(outcomes=True)` get."""

    stage: str
    """The stage's name."""
    number: int
    """The item's place in the stage's input, from 0."""
    item: Any
    """The item, as the stage got it; a large array that its worker wrote into is as that left it, unless the stage
    has retries, or keeps what failed."""
    attempts: int
    """How often it was tried."""
    kind: str
    """The exception's class, as in `ValueError` or `json.decoder.JSONDecodeError`."""
    message: str
    """Its text, `str(error)`; may be empty."""
    where: str = ""
    """Innermost place outside conveyor, as in `tools.py:12 in parse`; empty if there is none."""
    traceback: str = ""
    """The traceback in the worker, formatted; empty if there was none."""
    pid: int = 0
    """The process that had it; 0: this one."""
    pickled: bytes | BaseException | None = field(default=None, repr=False, compare=False)
    """The exception itself: as it is, if it was raised in this process, else pickled, if it could be."""

    @classmethod
    def here(cls, stage: str, number: int, item: Any, error: Exception, what: str) -> Failure:
        """Of an exception that was raised in this process, before a worker got the item.

        Args:
            stage, number, item: as above.
            error: the exception.
            what: what could not be done.
        """
        error.add_note(what)
        try:
            pickled = pickle.dumps(error)
        except Exception:
            pickled = None
        return cls(stage, number, item, 1, type(error).__name__, f"{what}: {error}", pickled=pickled)

    def lightened(self) -> Failure:
        """This failure as a report may keep it: without its exception, if that carries very much."""
        carried = self.pickled.args if isinstance(self.pickled, BaseException) else [self.pickled]
        heavy = self.pickled is not None and weigh(carried) > _LIGHT
        return dataclasses.replace(self, pickled=None) if heavy else self

    def __reduce__(self) -> tuple[Any, ...]:
        values = [getattr(self, one.name) for one in dataclasses.fields(self)]
        if isinstance(self.pickled, BaseException):
            try:
                values[-1] = pickle.dumps(self.pickled)
            except Exception:
                values[-1] = None
        return Failure, tuple(values)

    def __str__(self) -> str:
        text = f"{self.kind}: {self.message}" if self.message else self.kind
        return f"{text} ({self.where})" if self.where else text

    def exception(self) -> BaseException:
        """The exception, of its own type where it can be had, else a `StageError`; with notes that name the item.

        Its `__cause__` shows the traceback in the worker.
        """
        error: BaseException | None = None
        if isinstance(self.pickled, BaseException):
            error = self.pickled
        elif self.pickled is not None:
            try:
                made = pickle.loads(self.pickled)
                error = made if isinstance(made, BaseException) else None
            except Exception:
                error = None  # its class cannot be made from its arguments, or is not there
        if error is None:
            error = StageError(f"{self.kind}: {self.message}" if self.message else self.kind)
        # It may be asked for twice; and what was raised in the thread of the run has its traceback itself.
        if self.traceback and error.__traceback__ is None and not isinstance(error.__cause__, InWorker):
            shown = InWorker(self.traceback)
            shown.__cause__, error.__cause__ = error.__cause__, shown
        times = "" if self.attempts == 1 else f", tried {self.attempts} times"
        process = f", worker process {self.pid}" if self.pid else ""
        error.add_note(f"in stage {self.stage!r} on item {self.number}{times}{process}: {short(self.item)}")
        return error


class InWorker(Exception):
    """Shows the traceback of another process or thread above the exception that it caused."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
