"""How much of the machine others used while something was measured."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import monotonic

__all__ = ["Bystander"]


def _own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _busy_seconds() -> float:
    """Processor time of everything on this machine, and what the hypervisor gave to others."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, hard, soft, stolen = (int(field) for field in fields[:8])
    return (user + nice + system + hard + soft + stolen) / os.sysconf("SC_CLK_TCK")


class Bystander:
    """Watches from its making on; good to a hundredth of a core over a second or more."""

    def __init__(self) -> None:
        self._began = monotonic(), _busy_seconds(), _own_seconds()

    def cores(self) -> float:
        """Cores that others kept busy, on average since the beginning."""
        began, busy, own = self._began
        took = max(1e-3, monotonic() - began)
        return max(0.0, (_busy_seconds() - busy) - (_own_seconds() - own)) / took
