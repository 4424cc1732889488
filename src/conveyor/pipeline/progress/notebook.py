"""NotebookCell: something that is redrawn in place in the output of a notebook's cell."""

from __future__ import annotations

import io
from html import escape
from typing import Any

__all__ = ["NotebookCell"]

_WIDTH = 100


class NotebookCell:
    """Shows what rich can print, by IPython's own means: it needs no widgets."""

    def __init__(self) -> None:
        self._handle: Any = None

    def update(self, renderable: Any) -> None:
        """Show this in the place of what was shown."""
        from rich.console import Console

        # No colours: as text, a notebook shows it in whatever theme it has.
        console = Console(file=io.StringIO(), width=_WIDTH, force_jupyter=False, force_terminal=False)
        with console.capture() as drawn:
            console.print(renderable)
        text = "\n".join(line.rstrip() for line in drawn.get().splitlines())
        self._show({"text/plain": text, "text/html": f"<pre style='line-height:1.3'>{escape(text)}</pre>"})

    def stop(self) -> None:
        """Leave nothing of it."""
        if self._handle is not None:
            self._show({"text/plain": "", "text/html": ""})

    def _show(self, bundle: dict[str, str]) -> None:
        import importlib

        if self._handle is None:
            shown = importlib.import_module("IPython.display").display(bundle, raw=True, display_id=True)
            self._handle = shown
        else:
            self._handle.update(bundle, raw=True)
