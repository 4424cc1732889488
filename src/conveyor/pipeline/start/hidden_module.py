"""hidden_module: a file that a new interpreter takes for a module of the standard library's."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["hidden_module"]


def hidden_module(words: str = "") -> str:
    """What to do about a file that Python imports in the place of one of its own; empty: there is none.

    Args:
        words: only such a file counts as is spoken of in these; empty: any.
    """
    # A new interpreter looks into the current folder first, whatever ours did.
    for folder in dict.fromkeys((Path.cwd(), *map(Path, filter(None, sys.path[:1])))):
        try:
            paths = sorted(folder.iterdir())
        except OSError:
            continue
        for path in filter(_hides_one, paths):
            if not words or str(path) in words or f"'{path.stem}'" in words:
                return f"; {path} hides the standard library's module {path.stem!r}: rename it"
    return ""


def _hides_one(path: Path) -> bool:
    if path.stem not in sys.stdlib_module_names:
        return False
    return path.suffix == ".py" or (not path.suffix and (path / "__init__.py").exists())
