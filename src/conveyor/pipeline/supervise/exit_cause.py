"""LikelyCause: what the system says of who killed a process."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

__all__ = ["LikelyCause"]

_ROOT = Path("/sys/fs/cgroup")


class LikelyCause:
    """Compares the control group's count of processes killed for memory with what it was.

    Args:
        file: where the count stands; None: where this process's control group has it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or _memory_events()
        self._kills = self._count()

    def of(self, exitcode: int | None) -> str:
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
                if name == "oom_kill":
                    return int(count)
        except (OSError, ValueError):
            return 0
        return 0


def _memory_events() -> Path | None:
    """The file with the count: of version 2 of control groups, or of version 1, which some machines still have."""
    try:
        text = Path("/proc/self/cgroup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            file = _ROOT / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            file = _ROOT / "memory" / path.lstrip("/") / "memory.oom_control"
        else:
            continue
        if file.exists():
            return file
    return None
