"""Display: shows how far a run is, while it lasts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..base.events import Event
from .progress import Progress

if TYPE_CHECKING:
    from ..report.report import Report

__all__ = ["DRAW_SECONDS", "Display", "Sample"]

DRAW_SECONDS = 0.1
"""It is not shown more often."""

Sample: TypeAlias = Callable[[], Progress]
"""Says how far the run is now."""


class Display(ABC):
    """Shows how far a run is."""

    draws = False
    """Whether it draws on a terminal again and again, where nobody else may write meanwhile."""

    @abstractmethod
    def show(self, sample: Sample, event: Event) -> None:
        """Something has happened, or time has passed."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a message."""

    @abstractmethod
    def end(self, sample: Sample, report: Report, error: BaseException | None) -> None:
        """The run has ended; with this error, if there is one."""
