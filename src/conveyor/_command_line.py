"""missing_sentence: what the command line needs beside conveyor itself is an extra, which may not be installed."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["missing_sentence"]


def missing_sentence() -> str | None:
    """What to install before the command line works; None if it does. Nothing is imported to know."""
    missing = [name for name in ("cyclopts", "rich") if find_spec(name) is None]
    if not missing:
        return None
    return f"the command line needs {' and '.join(missing)}, not installed here: pip install 'conveyor[cli]'"
