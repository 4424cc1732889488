"""SourceNode: where the values of a run come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.weight import weigh
from ..sources.source import Source
from ..supervise.engine_context import EngineContext
from .node import Node, Origins

__all__ = ["SourceNode"]

# Steps that hold lists want items by number; large ones are read in portions of so many bytes, or of two.
_PORTION_BYTES = 8 * 1024 * 1024
_PORTION_FIRST = 64
_PORTION_GROWS = 4
_QUEUE_LOOK_SECONDS = 0.4
# So long a source may take for the item that it is fetching when nothing more is wanted; then that is lost.
_LAST_ITEM_SECONDS = 1.0


class SourceNode(Node):
    """Where values come from.

    Args:
        source: the source.
        context: the engine.
        tracked: give each value its place in the source for an origin.
        choose: of places and the values there, which places are to be worked on; None: all.
        name: what reports call it.
        first: the place of its first value: each source of a run has places of its own.
    """

    def __init__(
        self,
        source: Source[Any],
        context: EngineContext,
        tracked: bool = False,
        choose: Callable[[list[int], list[Any]], list[int]] | None = None,
        name: str = "source",
        first: int = 0,
    ) -> None:
        super().__init__(name)
        self.source = source
        self._context = context
        self.tracked = tracked
        self._choose = choose
        self._first = first
        self._closed = False
        self._closed_at = 0.0
        self._portion = _PORTION_FIRST
        self.error: BaseException | None = None
        """What the source raised; nothing more is read from it then."""
        self.skipped = 0
        self.spent = 0.0
        """Seconds in which it was read, or waited for."""
        self._waited_since = 0.0

    def read(self) -> None:
        """The source's descriptor is readable."""
        if self.outlet is not None and not self._closed:
            self._fill(max(self.outlet.demand(), 1))

    def look(self, now: float) -> None:
        """Bring what is there now; a queue is asked, and not waited for."""
        if self.source.fileno() is not None and self.wants_input:
            self.read()
        self.advance(now)

    def _fill(self, want: int) -> None:
        before = self._context.now()
        try:
            self.source.fill(want)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            self.error = error
            if self.stage != "source":
                error.add_note(f"in {self.stage!r}")
            self._context.fail_after(error)
            self._closed = True
            self._context.drain()  # other sources may have no end
        finally:
            if not self._waited_since:
                self.spent += self._context.now() - before

    def spent_by(self, now: float) -> float:
        """Seconds until then in which it was read, or waited for, also if it is still being waited for."""
        return self.spent + (max(now - self._waited_since, 0.0) if self._waited_since else 0.0)

    def _wait(self, waits: bool) -> None:
        """Somebody waits for it now, or no longer."""
        now = self._context.now()
        if self._waited_since:
            self.spent += now - self._waited_since
        self._waited_since = now if waits else 0.0

    def advance(self, now: float) -> bool:
        """Bring as much as is wanted."""
        outlet = self.outlet
        assert outlet is not None
        want = min(outlet.demand(), self._portion)
        if want <= 0 or self.done:
            if self._waited_since:
                self._wait(False)
            return False
        has = self.source.available
        if self.source.fileno() is None and has < want and not self.finished_reading:
            self._fill(want)
        if not self.source.available:
            self._wait(not self.finished_reading)
            return False
        values, origins = self.hand_out(want)
        if values:
            outlet.accept(values, origins)
        return True

    def hand_out(self, most: int) -> tuple[list[Any], Origins]:
        """Some of the values that were read, at most so many, to be pushed on by the caller."""
        if self._waited_since:
            self._wait(False)
        values = self.source.take(most)
        if len(values) > 1:
            most = _PORTION_BYTES * len(values) // (weigh(values) + 1)
            # Larger step by step: the first workers have begun while more is read for them.
            self._portion = max(min(most, _PORTION_GROWS * self._portion), 2)
        first = self._first + self.taken
        self.taken += len(values)
        origins: Origins = None
        if self.tracked:
            origins = list(range(first, first + len(values)))
            if self._choose is not None and values:
                kept = self._choose(origins, values)
                if len(kept) < len(values):
                    self.skipped += len(values) - len(kept)
                    values = [values[number - first] for number in kept]
                    origins = kept
        self.given += len(values)
        if values:
            self._context.begun(origins)
        return values, origins

    @property
    def wants_input(self) -> bool:
        """Whether the source's descriptor is to be watched."""
        outlet = self.outlet
        assert outlet is not None
        return not self.finished_reading and not self.source.available and outlet.demand() > 0

    @property
    def held_up(self) -> bool:
        """Whether there are values, or could be at once, if they were wanted."""
        outlet = self.outlet
        assert outlet is not None
        has_some = self.source.available or (self.source.fileno() is None and not self.finished_reading)
        return bool(has_some) and outlet.demand() > 0

    @property
    def channel(self) -> Any:
        """What can be looked at for new values, if they come from a queue; else None."""
        return getattr(self.source, "channel", None)

    @property
    def finished_reading(self) -> bool:
        """Whether nothing more will be read."""
        return self._closed or self.source.exhausted

    def to_give(self) -> float:
        """Values that are still to come out of it, if that is known."""
        total = self.source.total
        return float("inf") if total is None else max(total - self.taken, 0)

    @property
    def backlog(self) -> int:
        """Items that somebody waits for, and that are not taken; of what is read when there is room for it, none."""
        return 0

    def close_input(self) -> None:
        """Read nothing more."""
        self._closed = True
        self._closed_at = self._context.now()
        self.source.stop()

    def close(self) -> None:
        """The run is over."""
        self.source.close()

    @property
    def is_cut_short(self) -> bool:
        """Whether something else than its end was why nothing more is read."""
        return self._closed and not self.abandoned and (self.error is not None or not self.source.exhausted)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left in the source that this run would want."""
        return self.abandoned or self.source.exhausted

    @property
    def held(self) -> int:
        """Values read and not passed on. Lines that were read in a block and are not wanted any more do not count."""
        drops = self._closed and self.error is None and getattr(self.source, "may_drop", False)
        return 0 if drops or self.abandoned else self.source.available

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.finished_reading and not self._gives_one_more and self.held == 0

    @property
    def _gives_one_more(self) -> bool:
        return (
            self._closed
            and not self.abandoned
            and self.error is None
            and self.source.fetching
            and self._context.now() < self._closed_at + _LAST_ITEM_SECONDS
        )

    def deadline(self) -> float | None:
        """A queue's end is looked for now and then: a dead producer does not tell."""
        if self._gives_one_more:
            return self._closed_at + _LAST_ITEM_SECONDS
        if self.finished_reading or self.source.fileno() is None or self.source.total is not None:
            return None
        return self._context.now() + _QUEUE_LOOK_SECONDS
