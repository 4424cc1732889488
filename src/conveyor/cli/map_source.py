"""Sources of `MapItem`s: rows become items with numbers, columns and groups; those that are done are left out."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator

from ..pipeline import IterableSource, LineSource
from .map_item import MapItem

__all__ = ["ItemLineSource", "ItemMaker", "RowSource"]


class ItemMaker:
    """Makes items of rows.

    Args:
        columns: splits the only argument of a row; None: nothing does.
        group: so many rows are one item.
        wanted: whether an item is to be worked on; None: each is.
    """

    def __init__(
        self,
        columns: re.Pattern[bytes] | None = None,
        group: int = 1,
        wanted: Callable[[MapItem], bool] | None = None,
    ) -> None:
        self._columns = columns
        self._group = group
        self._wanted = wanted
        self._rest: list[bytes] = []  # arguments of rows that are no whole group yet
        self._rows = 0
        self.made = 0
        """Items so far, those included that were left out."""
        self.left_out = 0

    def make(self, rows: Iterable[tuple[bytes, ...]]) -> list[MapItem]:
        """The items that are whole with these."""
        items: list[MapItem] = []
        for row in rows:
            arguments = tuple(self._columns.split(row[0])) if self._columns is not None else row
            if self._group > 1:
                self._rest += arguments
                self._rows += 1
                if self._rows < self._group:
                    continue
                arguments, self._rest, self._rows = tuple(self._rest), [], 0
            self._add(items, arguments)
        return items

    def rest(self) -> list[MapItem]:
        """The last item, of fewer rows than the others, if there is one."""
        items: list[MapItem] = []
        if self._rows:
            arguments, self._rest, self._rows = tuple(self._rest), [], 0
            self._add(items, arguments)
        return items

    def of_block(self, block: bytes) -> list[MapItem]:
        """The item of a block of input, if it is wanted."""
        items: list[MapItem] = []
        # Only a log needs it, by which a later run knows the block again.
        mark = b"%d bytes, CRC %08x" % (len(block), zlib.crc32(block)) if self._wanted is not None else b""
        self._add(items, (), block, mark)
        return items

    def _add(
        self, items: list[MapItem], arguments: tuple[bytes, ...], block: bytes = b"", mark: bytes = b""
    ) -> None:
        self.made += 1
        item = MapItem(self.made, arguments, block, mark)
        if self._wanted is None or self._wanted(item):
            items.append(item)
        else:
            self.left_out += 1


class ItemLineSource(LineSource):
    """Items of the lines of a descriptor.

    Args:
        fd, separator: see `LineSource`.
        maker: makes them.
    """

    def __init__(self, fd: int, maker: ItemMaker, separator: bytes = b"\n") -> None:
        super().__init__(fd, separator=separator)
        self._maker = maker

    def fill(self, want: int = 1) -> None:
        """See `LineSource`."""
        super().fill(want)
        if self._exhausted and (rest := self._maker.rest()):
            super()._add(rest)  # type: ignore[arg-type]

    def _add(self, items: list[bytes]) -> None:
        super()._add(self._maker.make((line,) for line in items))  # type: ignore[arg-type]


class RowSource(IterableSource[MapItem]):
    """Items of rows that are at hand.

    Args:
        rows: the arguments of each.
        maker: makes the items.
    """

    may_drop = True
    """See `Source`: what was read ahead is not begun when nothing more is wanted."""

    def __init__(self, rows: Iterable[tuple[bytes, ...]], maker: ItemMaker) -> None:
        super().__init__(self._made(rows, maker))

    @staticmethod
    def _made(rows: Iterable[tuple[bytes, ...]], maker: ItemMaker) -> Iterator[MapItem]:
        for row in rows:
            yield from maker.make([row])
        yield from maker.rest()
