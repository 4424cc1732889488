"""Checkpoint: which items of the source are dealt with."""

from __future__ import annotations

import pickle
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Protocol

from .origin_counter import OriginCounter
from .store import CheckpointFile, Damaged

__all__ = ["Checkpoint", "CheckpointStore"]

_EVERY_SECONDS = 0.5


class CheckpointStore(Protocol):
    """Where a tracker keeps what is done; `CheckpointFile` is one that outlives everything."""

    starts: list[int]
    """Where the ranges that earlier runs have dealt with begin, in order."""
    ends: list[int]
    """Where they end: the first place that is not done."""
    state: bytes | None
    """What was kept together with them; None: nothing."""

    def write(self, starts: list[int], ends: list[int], state: bytes | None) -> None:
        """Replace what is kept, all at once; `state` None: what was kept of that stays."""
        ...

    def close(self) -> None:
        """Nothing more is written."""
        ...


class Checkpoint(OriginCounter):
    """Keeps which items of the source are done.

    What is done is written to a store, in one transaction with what
    the sink has made of it so far, so that after the death of everything a second run goes on from there.

    Args:
        store: where it is kept.
        now: the time as the run begins.

    Raises:
        PipelineError: what the store keeps of the sinks cannot be used.
    """

    def __init__(self, store: CheckpointStore, now: float) -> None:
        super().__init__()
        self._store = store
        self._flush: Callable[[], object] = lambda: None
        self._state: Callable[[], Any] | None = None
        self._starts = list(store.starts)
        self._ends = list(store.ends)
        self._changed = False
        self._committed = now
        self.saved_state: Any = None
        """What the last transaction of an earlier run kept; None: there was none."""
        self.had_state = store.state is not None
        if store.state is not None:
            try:
                self.saved_state = pickle.loads(store.state)
            except Exception as error:
                store.close()
                wrong = Damaged(f"what it keeps of reduce() cannot be unpickled, {error}")
                raise (store.unusable(wrong) if isinstance(store, CheckpointFile) else wrong) from error
        self.resumed = sum(end - start for start, end in zip(self._starts, self._ends, strict=True))
        """Items that earlier runs have dealt with."""

    def keep(self, flush: Callable[[], object], state: Callable[[], Any] | None) -> None:
        """Say what belongs to each transaction.

        Args:
            flush: called before it: what sinks hold back must be out by then.
            state: what is to be kept together with it.
        """
        self._flush = flush
        self._state = state

    def is_done(self, number: int) -> bool:
        """Whether the item at that place of the source is done."""
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def unfinished(self, numbers: list[int], values: list[Any]) -> list[int]:
        """Those of these places of a source, where these values are, that are not done."""
        return [number for number in numbers if not self.is_done(number)] if self._starts else numbers

    def item_done(self, number: int) -> None:
        """Nothing that came of this item is under way any more."""
        self._changed = True
        at = bisect_right(self._starts, number)
        joins_before = at > 0 and self._ends[at - 1] == number
        joins_after = at < len(self._starts) and self._starts[at] == number + 1
        if joins_before and joins_after:
            self._ends[at - 1] = self._ends[at]
            del self._starts[at], self._ends[at]
        elif joins_before:
            self._ends[at - 1] = number + 1
        elif joins_after:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number + 1)

    def commit(self, now: float, force: bool = False) -> None:
        """Write what is new, if it is time to."""
        if not self._changed or (now - self._committed < _EVERY_SECONDS and not force):
            return
        self._flush()
        state = None if self._state is None else pickle.dumps(self._state())
        self._store.write(self._starts, self._ends, state)
        self._changed = False
        self._committed = now

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.commit(self._committed, force=True)
        self._store.close()
