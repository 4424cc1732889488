"""Orders: jobs as they are sent to processes that run already."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from types import FunctionType
from typing import Any

from ..worker.serve import Job
from .main_names import needed_names

__all__ = ["Order", "Orders"]

# Jobs that are remembered; what was set up for an older one is set up again when it comes once more.
_MOST = 64


@dataclass(frozen=True, eq=False)
class Order:
    """A job that can be sent. Equal jobs have the same one, for what was set up for it to be found again."""

    number: int
    """Its name among the orders of this program."""
    sealed: bytes
    """The job, pickled."""
    needed: dict[str, Any]
    """What it needs of the main module; see `needed_names`."""


class _Pickler(ForkingPickler):
    """Notes which functions and classes it is asked to name."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.named: list[Any] = []

    def reducer_override(self, made: Any) -> Any:
        """Called for all that is no plain value; leaves it to the usual way."""
        if isinstance(made, (FunctionType, type)):
            self.named.append(made)
        return NotImplemented


class Orders:
    """Remembers the orders of the jobs that were there lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], Order] = OrderedDict()
        self._made = 0

    def of(self, job: Job) -> Order | None:
        """The order of a job; None: it cannot be pickled, so that only a new process can do it.

        An object that was changed, or a function of the main module that was defined anew or calls one that was, makes
        another job.
        """
        file = io.BytesIO()
        try:
            pickler = _Pickler(file)
            pickler.dump(job)
        except Exception:
            return None
        sealed = file.getvalue()
        needed = needed_names(pickler.named)
        key = (sealed, *((name, _key_of(value)) for name, value in needed.items()))
        with self._lock:
            order = self._known.get(key)
            if order is None:
                self._made += 1
                order = self._known[key] = Order(self._made, sealed, needed)
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
            return order


def _key_of(value: Any) -> object:
    """What tells a function, a class or a plain value from another; the order keeps it alive."""
    return id(value) if callable(value) else (type(value).__name__, value)  # 1, 1.0 and True are not the same
