"""LikelyCause: what the system says of who killed a process."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

__all__ = ["LikelyCause"]


class LikelyCause:
    """Compares the control group's count of processes killed for memory with what it was."""

    def __init__(self) -> None:
        self._file = _memory_events()
        self._kills = self._count()

    def of(self, exitcode: int) -> str:
        """What is likely to have killed a process that ended so just now; empty if nothing is known."""
        if exitcode == -signal.SIGKILL:
            before, self._kills = self._kills, self._count()
            if self._kills > before:
                return "out of memory: the control group's limit was reached"
        elif exitcode == -signal.SIGXCPU:
            limit = resource.getrlimit(resource.RLIMIT_CPU)[0]
            if limit != resource.RLIM_INFINITY:
                return f"its CPU time limit of {limit} s, ulimit -t"
        return ""

    def _count(self) -> int:
        if self._file is None:
            return 0
        try:
            for line in self._file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name in ("oom_kill", "oom_group_kill"):
                    return int(count)
        except (OSError, ValueError):
            return 0
        return 0


def _memory_events() -> Path | None:
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, _, path = line.partition("::")
            if number == "0" and path:
                file = Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events"
                return file if file.exists() else None
    except OSError:
        pass
    return None
