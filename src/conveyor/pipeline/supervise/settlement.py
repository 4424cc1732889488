"""Settlement: what a worker that does nothing more has left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..flow.chunk import Chunk

__all__ = ["Settlement"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be decided of the items that a worker had, after its last results were taken."""

    culprit: tuple[int, Any] | None
    """The place and the item that it was at; None: it was at none."""
    not_begun: list[Chunk]
    """What it had not taken."""
