"""Report: what a run did, and how it is shown."""

from __future__ import annotations

from pathlib import Path

from ..._public import public
from .figures import Figures

__all__ = ["Report"]


@public
class Report(Figures):
    """How a run went, or how far it is."""

    __slots__ = ()

    def __str__(self) -> str:
        from .text import as_text

        return as_text(self)

    def to_html(self, path: str | Path) -> None:
        """Write a page with the figures, a timeline and charts: one file, which needs nothing else.

        Raises:
            OSError: it cannot be written.
        """
        from .html import as_html

        Path(path).write_text(as_html(self), encoding="utf-8")
