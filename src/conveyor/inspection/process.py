"""Process: another process, as /proc shows it; and who has a file mapped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .._memory.owner import pid_of

__all__ = ["Process", "processes_that_map"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its pid. Any look may come too late: then it counts as one that has ended."""

    pid: int

    @classmethod
    def of_owner(cls, owner: int) -> Process:
        """The process whose mark a segment holds (owner.hpp)."""
        return cls(pid_of(owner))

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped, by SIGSTOP, Ctrl-Z or a debugger."""
        try:
            stat = (_PROC / str(self.pid) / "stat").read_text(errors="replace")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[:1] in (["T"], ["t"])

    def __str__(self) -> str:
        try:
            words = (_PROC / str(self.pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            words = []
        command = " ".join(word.decode(errors="replace") for word in words if word)
        command = "".join(c if c.isprintable() else "?" for c in command)
        return f"process {self.pid} ({command[:59] + '…' if len(command) > 60 else command or 'ended'})"


def processes_that_map(device: int, inode: int) -> list[Process]:
    """Who has this file mapped, of those whose memory map we may read: as root, all; else, our own."""
    place = f"{os.major(device):02x}:{os.minor(device):02x} {inode} "
    return [Process(pid) for pid, text in _maps() if place in text]


def _maps() -> Iterator[tuple[int, str]]:
    for entry in os.scandir(_PROC):
        if not entry.name.isdecimal():
            continue
        try:
            yield int(entry.name), (_PROC / entry.name / "maps").read_text(errors="replace")
        except OSError:
            continue  # ended, or not ours
