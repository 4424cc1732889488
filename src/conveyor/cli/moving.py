"""Which items `conveyor move` and `retry` mean, and how many they would move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ..transports.moving import Moved
from .item_lines import ItemLines

__all__ = ["Choice", "would_move"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which items are meant."""

    match: str | None = None
    """Only those whose text, or JSON, has this in it."""
    error: str | None = None
    """Only dead letters whose error has this in it."""
    letters_only: bool = False
    """Only dead letters whose item could be read."""

    def takes_all(self) -> bool:
        """Whether all are meant."""
        return self.match is None and self.error is None and not self.letters_only

    def __call__(self, item: Any) -> bool:
        """Whether this one is meant."""
        letter = _letter(item)
        if self.letters_only and (letter is None or letter.raw is not None):
            return False
        if self.error is not None and (letter is None or self.error not in letter.error):
            return False
        content = item if letter is None else letter.item
        return self.match is None or self.match in ItemLines(False).text(content)


def would_move(source: Any, choice: Choice, most: int) -> Moved:
    """What moving would do now; looks only."""
    waiting: int = source.qsize()
    if choice.takes_all():
        return Moved(min(waiting, most))
    if not waiting:
        return Moved()
    found = sum(map(choice, source.peek(waiting)))
    return Moved(min(found, most), waiting - found)


def _letter(item: object) -> Any:
    """The item, if it is a dead letter; else None."""
    from .. import DeadLetter

    return cast("Any", item) if isinstance(item, DeadLetter) else None
