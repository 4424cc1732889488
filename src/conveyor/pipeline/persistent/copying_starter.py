"""CopyingStarter: forks, and says what the program's main module had when it was copied."""

from __future__ import annotations

from typing import Any

from ..start.fork_starter import ForkStarter
from .main_names import main_names

__all__ = ["CopyingStarter"]


class CopyingStarter(ForkStarter):
    """A `ForkStarter` of which one may ask how old its copies are."""

    names: dict[str, Any] | None = None
    """What the main module had when the template was made, of which workers are copies; None: each is a copy of the
    program as it is when the worker is started."""

    def _make_template(self) -> None:
        # Before: what is defined meanwhile, in another thread, may not be in the copy.
        self.names = main_names()
        super()._make_template()
