"""MapItem: an item of `conveyor map` that knows its number and has any number of arguments."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MapItem"]


class MapItem(NamedTuple):
    """What is worked on where a line alone does not tell enough: for commands, for a log, for several arguments."""

    number: int
    """Its place in the input, from 1; what is left out counts."""
    arguments: tuple[bytes, ...]
    """One for each column, or for each of several sources."""

    block: bytes = b""
    """What its command reads."""

    mark: bytes = b""
    """What tells that from another block, for a log; empty: there is no log, or no block."""

    @property
    def shown(self) -> bytes:
        """Its arguments, for a person."""
        return self.arguments[0] if len(self.arguments) == 1 else b"\t".join(self.arguments)
