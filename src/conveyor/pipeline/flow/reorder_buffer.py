"""ReorderBuffer: what a stage has taken in and not handed out yet; puts results into order."""

from __future__ import annotations

from typing import Any

from .chunk import Chunk

__all__ = ["ReorderBuffer"]


class ReorderBuffer:
    """The chunks between a stage's input and its output, bounded in items and in bytes.

    Args:
        ordered: hand results out in the order of the input; else as they come.
        max_items: no new input is taken while as many items are held.
        max_bytes: no new input is taken while about as many bytes are held.
    """

    def __init__(self, ordered: bool, max_items: int, max_bytes: int) -> None:
        self._ordered = ordered
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._chunks: dict[int, Chunk] = {}
        self._next = 0
        self._touched: list[Chunk] = []
        self._items = 0
        self._each = 1  # bytes of an item that came lately
        self.bytes = 0
        """About how many bytes are held."""
        self.pending = 0
        """Results that wait to be handed out: for their turn, or for somebody to take them."""
        self.released = 0
        """Results handed out so far."""
        self.given_up = 0
        """Items that `flush` went over."""

    @property
    def room(self) -> int:
        """How many more items may be taken now."""
        if self.bytes >= self._max_bytes:
            return 0
        # As large as the last ones; one alone may be larger than all that is to be held.
        by_size = max((self._max_bytes - self.bytes) // self._each, 0 if self._items else 1)
        return max(min(self._max_items - self._items, by_size), 0)

    @property
    def head(self) -> int:
        """Where the first chunk starts that is to be handed out; of use if they are ordered."""
        return self._next

    @property
    def items(self) -> int:
        """Items held, those included whose results wait."""
        return self._items

    def expect_large(self) -> None:
        """Take a single item at first, before it is known how large they are."""
        self._each = self._max_bytes

    def add(self, chunk: Chunk) -> None:
        """Hold a chunk that was taken from the input."""
        self._chunks[chunk.start] = chunk
        self._items += chunk.count
        self.bytes += chunk.weight
        self._each = chunk.weight // chunk.count or 1

    def split(self, chunk: Chunk, number: int) -> Chunk:
        """Cut a chunk in two before that place of the input; returns the second part."""
        rest = chunk.split(number)
        self._chunks[rest.start] = rest
        return rest

    def grown(self, chunk: Chunk, count: int, by: int) -> None:
        """Record `count` new results of a chunk, adding `by` bytes."""
        self.bytes += by
        self.pending += count
        if not self._ordered:
            self._touched.append(chunk)

    def release(self) -> tuple[list[Any], list[Any] | None]:
        """Results whose turn has come, and for each its origin if they are known."""
        ready: list[Chunk]
        if not self._ordered:
            ready, self._touched = self._touched, []
            return self._hand_out([chunk for chunk in ready if chunk.start in self._chunks])
        ready = []
        while (chunk := self._chunks.get(self._next)) is not None:
            ready.append(chunk)
            if chunk.missing or not chunk.count:
                break
            self._next += chunk.count
        return self._hand_out(ready)

    def unfinished(self) -> list[Any]:
        """The origins of the items that have no result."""
        found: list[Any] = []
        for chunk in self._chunks.values():
            found += [] if chunk.origins is None else chunk.origins[len(chunk.results) :]
        return found

    def pass_lone(self) -> None:
        """The only item that is held has its result, which is handed out."""
        (chunk,) = self._chunks.values()
        self._forget(chunk)
        self._next += 1
        self.released += 1

    def flush(self) -> tuple[list[Any], list[Any] | None]:
        """All results that are there, in the input's order, over those that will never come."""
        ready = [self._chunks[start] for start in sorted(self._chunks)]
        found = self._hand_out(ready)
        for chunk in ready:
            if chunk.start in self._chunks:
                self.given_up += chunk.missing
                self._forget(chunk)
        return found

    def _hand_out(self, ready: list[Chunk]) -> tuple[list[Any], list[Any] | None]:
        values: list[Any] = []
        origins: list[Any] | None = None
        for chunk in ready:
            if chunk.start not in self._chunks:
                continue  # a chunk that was touched twice
            before = chunk.released
            some, whose = chunk.release()
            self.pending -= chunk.released - before
            if not values:
                values, origins = some, whose
            elif some:
                values += some
                if origins is not None and whose is not None:
                    origins += whose
            if not chunk.missing:
                self._forget(chunk)
        self.released += len(values)
        return values, origins

    def _forget(self, chunk: Chunk) -> None:
        del self._chunks[chunk.start]
        self._items -= chunk.count
        self.bytes -= chunk.weight
