"""Checkpoint: which items of the source are dealt with."""

from __future__ import annotations

import pickle
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ..flow.lineage import Lineage
from .done_keys import DoneKeys
from .origin_counter import PLACES, OriginCounter
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

    def write(
        self, starts: list[int], ends: list[int], state: bytes | None, keys: list[tuple[int, bytes]]
    ) -> None:
        """Replace what is kept, all at once; `state` None: what was kept of that stays; to the keys these are added."""
        ...

    def done_keys(self, source: int, keys: list[bytes]) -> set[bytes]:
        """Which of these belong to items of that source that are done."""
        ...

    def count_keys(self) -> int:
        """Keys of items that are done."""
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
        keyed: for sources whose items have keys, by their number: makes of an item what is kept of its key.

    Raises:
        PipelineError: what the store keeps of the sinks cannot be used.
    """

    def __init__(
        self, store: CheckpointStore, now: float, keyed: dict[int, Callable[[Any], bytes]] | None = None
    ) -> None:
        super().__init__()
        self._store = store
        self._flush: Callable[[], object] = lambda: None
        self._tell_done: Callable[[Any], object] = lambda _: None
        self._state: Callable[[], Any] | None = None
        self._starts = list(store.starts)
        self._ends = list(store.ends)
        self._keys = {
            which: DoneKeys(digest, partial(store.done_keys, which))
            for which, digest in (keyed or {}).items()
        }
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
        if self._keys:
            self.resumed += store.count_keys()

    def keep(
        self,
        flush: Callable[[], object],
        state: Callable[[], Any] | None,
        done: Callable[[Any], object] = lambda _: None,
    ) -> None:
        """Say what belongs to each transaction.

        Args:
            flush: called before it: what sinks hold back must be out by then.
            state: what is to be kept together with it.
            done: called with the place of an item, or a lineage, of which nothing is under way any more.
        """
        self._tell_done = done
        self._flush = flush
        self._state = state

    def is_done(self, number: int) -> bool:
        """Whether the item at that place of the source is done."""
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def unfinished(self, numbers: list[int], values: list[Any]) -> list[int]:
        """Those of these places of a source, where these values are, that are not done."""
        if self._keys and (keys := self._keys.get(numbers[0] // PLACES)) is not None:
            return keys.unfinished(numbers, values)
        return [number for number in numbers if not self.is_done(number)] if self._starts else numbers

    def lineage_done(self, lineage: Lineage) -> None:
        """Nothing that came of these items together is under way any more."""
        self._tell_done(lineage)

    def item_done(self, number: int) -> None:
        """Nothing that came of this item is under way any more."""
        self._tell_done(number)
        self._changed = True
        if self._keys and (keys := self._keys.get(number // PLACES)) is not None:
            keys.item_done(number)
            return
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
        fresh = [(which, key) for which, keys in self._keys.items() for key in keys.to_write()]
        self._store.write(self._starts, self._ends, state, fresh)
        for keys in self._keys.values():
            keys.written()
        self._changed = False
        self._committed = now

    def abandon(self) -> None:
        """Close the file as it is: the run could not begin."""
        self._store.close()

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            self.commit(self._committed, force=True)
        finally:
            self._store.close()
