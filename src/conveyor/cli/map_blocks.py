"""BlockSource: the input in blocks of whole records, for commands that read them: `conveyor map --pipe`."""

from __future__ import annotations

import os

from ..pipeline import LineSource
from .map_source import ItemMaker

__all__ = ["BlockSource"]


class BlockSource(LineSource):
    """Items with blocks.

    Args:
        fd: see `LineSource`.
        maker: makes the items.
        size: bytes that a block has at most, unless a single record has more.
        records: records that it has, whatever their size; 0: as many as fit.
        separator: what ends a record: one byte.
    """

    def __init__(self, fd: int, maker: ItemMaker, size: int, records: int, separator: bytes = b"\n") -> None:
        super().__init__(fd, separator=separator)
        self._maker = maker
        self._size = size
        self._records = records
        self._held = bytearray()  # what is no whole block yet
        self._looked = 0  # bytes of it in which the ends of records have been counted
        self._counted = 0

    def fill(self, want: int = 1) -> None:
        """Read some, or what there is of it; nothing if there is nothing yet.

        Raises:
            OSError: the descriptor cannot be read.
        """
        if not self._poll.poll(0):
            return
        data = os.read(self._fd, self._block)
        self.bytes_read += len(data)
        self._held += data
        while end := self._end(is_last=not data):
            with memoryview(self._held) as held:
                block = bytes(held[:end])
            del self._held[:end]
            self._looked = self._counted = 0
            self._add(self._maker.of_block(block))  # type: ignore[arg-type]
        self._exhausted = not data

    def _end(self, is_last: bool) -> int:
        """Where the first block ends; 0: it is not there yet."""
        held = self._held
        if self._records:
            while self._counted < self._records:
                at = held.find(self._separator, self._looked)
                if at < 0:
                    self._looked = len(held)
                    return len(held) if is_last else 0
                self._looked = at + 1
                self._counted += 1
            return self._looked
        if len(held) < self._size or (is_last and len(held) == self._size):
            return len(held) if is_last else 0
        end = held.rfind(self._separator, 0, self._size) + 1
        if not end:  # a record that is larger
            end = held.find(self._separator, max(self._size, self._looked)) + 1
            self._looked = len(held)
        return end or (len(held) if is_last else 0)
