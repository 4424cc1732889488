"""Sizes in words."""

from __future__ import annotations

__all__ = ["size_text"]


def size_text(size: float) -> str:
    """Bytes as people read them: `512 bytes`, `1.5 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
