"""WaitingList: items that wait for their turn, in files beyond what may be held in memory."""

from __future__ import annotations

import pickle
import tempfile
from collections import deque
from typing import IO, Any

from ..base.weight import weigh
from .node import Origins

__all__ = ["WaitingList"]

_BLOCK_ITEMS = 1024
_BLOCK_BYTES = 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_FILE_BYTES = 64 * 1024 * 1024


class _File:
    """A file without a name that some blocks are in; closed when the last was read."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="conveyor-")  # noqa: SIM115 - for longer than a block of code
        self.size = 0
        self.blocks = 0


class _Block:
    def __init__(self) -> None:
        self.values: list[Any] = []
        self.origins: Origins = None
        self.count = 0
        self.weight = 0
        self.file: _File | None = None
        self.place = self.length = 0


class WaitingList:
    """First in, first out; as long as it likes to be.

    About so many bytes are in memory at most; what comes beyond that is written to temporary files, and read when its
    turn comes. What cannot be pickled stays in memory, and so do the origins.

    Args:
        most_bytes: about how many bytes of items may be in memory.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._blocks: deque[_Block] = deque()
        self._at = 0  # what of the first is gone
        self._count = 0
        self._bytes = 0
        self._writing: _File | None = None
        self.written = 0
        """Items that were written to files so far."""

    def __len__(self) -> int:
        return self._count

    def add(self, values: list[Any], origins: Origins) -> None:
        """Have these wait behind all others."""
        if not values:
            return
        weight = weigh(values)
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.file is not None or last.count >= _BLOCK_ITEMS or last.weight >= _BLOCK_BYTES:
            last = _Block()
            self._blocks.append(last)
        last.values += values
        if origins is not None:
            last.origins = (last.origins or []) + origins
        last.count += len(values)
        last.weight += weight
        self._count += len(values)
        self._bytes += weight
        is_full = last.count >= _BLOCK_ITEMS or last.weight >= _BLOCK_BYTES
        if is_full and self._bytes > self._most_bytes and len(self._blocks) > 1:
            self._write(last)

    def take(self, most: int) -> tuple[list[Any], Origins]:
        """Those whose turn it is, at most so many; at least one, if there is any."""
        if not self._count:
            return [], None
        block = self._blocks[0]
        if block.file is not None:
            self._read(block, block.file)
        at = self._at
        values = block.values[at : at + most]
        origins = None if block.origins is None else block.origins[at : at + most]
        self._at += len(values)
        self._count -= len(values)
        if self._at == block.count:
            self._blocks.popleft()
            self._bytes -= block.weight
            self._at = 0
        return values, origins

    def _write(self, block: _Block) -> None:
        try:
            data = pickle.dumps(block.values, pickle.HIGHEST_PROTOCOL)
        except Exception:
            return  # it stays where it is
        file = self._writing
        if file is None or file.size >= _FILE_BYTES:
            file = self._writing = _File()
        file.file.seek(file.size)
        file.file.write(data)
        block.file, block.place, block.length = file, file.size, len(data)
        block.values = []
        file.size += len(data)
        file.blocks += 1
        self._bytes -= block.weight
        self.written += block.count

    def _read(self, block: _Block, file: _File) -> None:
        file.file.seek(block.place)
        block.values = pickle.loads(file.file.read(block.length))
        block.file = None
        self._bytes += block.weight
        file.blocks -= 1
        if not file.blocks:
            file.file.close()
            if self._writing is file:
                self._writing = None

    def clear(self) -> None:
        """Nobody wants any of them."""
        for file in {id(block.file): block.file for block in self._blocks if block.file is not None}.values():
            file.file.close()
        self._blocks.clear()
        self._writing = None
        self._at = self._count = self._bytes = 0
