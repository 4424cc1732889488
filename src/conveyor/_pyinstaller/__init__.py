"""For PyInstaller, which asks for it by the entry points `pyinstaller40`: where the hook for frozen programs lies."""

from __future__ import annotations

from pathlib import Path

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    """The folder with `hook-conveyor.py`."""
    return [str(Path(__file__).parent)]
