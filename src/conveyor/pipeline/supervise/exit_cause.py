"""LikelyCause: what the system says of who killed a process."""

from __future__ import annotations

import resource
import signal

from ..._control_groups import ControlGroup, control_groups

__all__ = ["LikelyCause"]


class LikelyCause:
    """Compares the control group's count of processes killed for memory with what it was.

    Args:
        group: whose count it is; None: that of this process.
    """

    def __init__(self, group: ControlGroup | None = None) -> None:
        self._group = group or _counting_group()
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
        return 0 if self._group is None else self._group.memory_kills() or 0


def _counting_group() -> ControlGroup | None:
    return next((group for group in control_groups("memory") if group.memory_kills() is not None), None)
