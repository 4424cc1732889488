"""Who holds something in shared memory, as core/include/conveyor/base/owner.hpp writes it."""

from __future__ import annotations

__all__ = ["pid_of"]

_PID = 0x3FFFFF  # the kernel's PID_MAX_LIMIT


def pid_of(owner: int) -> int:
    """The pid of an owner, as its own pid namespace numbers it; 0: nobody."""
    return owner >> 1 & _PID
