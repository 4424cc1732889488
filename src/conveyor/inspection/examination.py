"""The examination of everything: what `conveyor doctor` looks at, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .finding import Finding
from .queues import examine_queues
from .system import examine_system

__all__ = ["examine"]


def examine(names: Collection[str] | None = None) -> Iterator[Finding]:
    """Look at the system, and then at every named queue of this user; each finding when it is there.

    Args:
        names: only these queues; None: all.
    """
    yield from examine_system()
    yield from examine_queues(names)
