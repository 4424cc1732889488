"""What the words of locks hold: who has taken them."""

from __future__ import annotations

from pathlib import Path


def owner_of(pid: int) -> int:
    """As where programs are known by their start: owner.cpp has the parts."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    space = Path("/proc/self/ns/pid").stat().st_ino % 2**14
    return (1 if space in (0, 2**14 - 1) else space) << 49 | ticks % 2**26 << 23 | pid << 1
