"""ControlGroup: one control group, of either version; and those that this process is in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from .memory_limit import MemoryLimit

__all__ = ["GROUPS", "PROC", "ControlGroup", "control_groups"]

PROC: Final[Path] = Path("/proc")
"""Where the system tells of processes."""
GROUPS: Final[Path] = Path("/sys/fs/cgroup")
"""Where it tells of control groups."""

# What the kernel shows for "no limit" in version 1 is about 2**63, less a page or so.
_NO_LIMIT = 2**60


class ControlGroup(NamedTuple):
    """A group as the kernel shows it. What it does not say, or what cannot be read, is None."""

    version: Literal[1, 2]
    folder: Path

    def processors(self) -> float | None:
        """Processors' worth of time that the group has; None: no limit."""
        if self.version == 2:
            words = (self._text("cpu.max") or "").split()
        else:
            words = [self._text(f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
        if len(words) != 2 or not all(map(str.isdecimal, words)):  # "max", or -1
            return None
        quota, period = map(int, words)
        return quota / period if quota and period else None

    def memory(self) -> MemoryLimit | None:
        """The limit of the group's memory, and what it uses; None: no limit."""
        names = (
            ("memory.max", "memory.current")
            if self.version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        words = [self._text(name) or "" for name in names]
        if not all(map(str.isdecimal, words)):  # "max"
            return None
        found = MemoryLimit(*map(int, words))
        return found if found.limit < _NO_LIMIT else None

    def memory_kills(self) -> int | None:
        """How many processes the kernel has killed for the group's memory; None: it does not say."""
        text = self._text("memory.events" if self.version == 2 else "memory.oom_control")
        for line in (text or "").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdecimal():
                return int(count)
        return None

    def _text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text().strip()
        except OSError:
            return None


def control_groups(
    controller: Literal["cpu", "memory"], proc: Path = PROC, groups: Path = GROUPS
) -> Iterator[ControlGroup]:
    """The groups that this process is in and that may have a controller: its own first, then those around it.

    Where both versions are in use, those of both: the controller is of one of them, and the others say nothing.

    Args:
        controller: what is asked about.
        proc, groups: where the system tells of processes and of control groups.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for root in (groups, groups / "unified"):
                yield from _chain(2, root, path)
        elif controller in controllers.split(","):
            for root in dict.fromkeys((groups / controllers, groups / controller)):
                yield from _chain(1, root, path)


def _chain(version: Literal[1, 2], root: Path, path: str) -> Iterator[ControlGroup]:
    # In a container the path may be that of the host, and our own group is mounted at the root.
    inside = Path(*(part for part in path.split("/") if part not in ("", "..")))
    for folder in (inside, *inside.parents):
        if (root / folder).is_dir():
            yield ControlGroup(version, root / folder)
