"""Packages that may be missing: those of the extra ``bench``."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["optional"]


def optional(module: str) -> Any:
    """Import a package that may be missing, and that may come without type stubs.

    The result is `Any` on purpose: type-checking must give the same answer whether or not the
    extra ``bench`` is installed, and what uses it is a few lines each.
    """
    return importlib.import_module(module)
