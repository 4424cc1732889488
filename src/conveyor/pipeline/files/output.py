"""Output: bytes that become a file when all of them are there."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Output"]


class Output(Protocol):
    """Bytes on their way to a file. Under its name they are not to be seen before `publish`, where that is possible."""

    def write(self, data: bytes, /) -> object:
        """Add bytes."""
        ...

    def tell(self) -> int:
        """How many there are."""
        ...

    def flush(self, durable: bool) -> None:
        """Hand all of them to the system; durable: they outlive it, too."""
        ...

    def publish(self) -> None:
        """All are there: they are the file from now on. Nothing is written afterwards."""
        ...

    def abandon(self) -> str | None:
        """They will not be the file. Returns where they lie, if they do; nothing is written afterwards."""
        ...
