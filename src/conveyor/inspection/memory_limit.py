"""MemoryLimit: what the control group (a container's, a service's) lets this process have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MemoryLimit"]

# What the kernel shows for "no limit" in version 1 is about 2**63, less a page or so.
_NO_LIMIT = 2**60


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The tightest limit among our control group and those above it. Shared memory counts, too."""

    limit: int
    used: int

    @classmethod
    def find(cls, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> MemoryLimit | None:
        """The limit, in bytes; None: there is none, or it cannot be seen."""
        found: list[MemoryLimit] = []
        try:
            lines = (proc / "self" / "cgroup").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers == "":
                found += cls._chain(groups, path, "memory.max", "memory.current")
            elif "memory" in controllers.split(","):
                found += cls._chain(groups / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
        return min(found, key=lambda each: each.limit - each.used, default=None)

    @classmethod
    def _chain(cls, root: Path, path: str, limit: str, used: str) -> list[MemoryLimit]:
        found: list[MemoryLimit] = []
        # In a container the path may be that of the host, and our own group is mounted at the root.
        for folder in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents):
            try:
                values = [(root / folder / name).read_text().strip() for name in (limit, used)]
            except OSError:
                continue
            if all(value.isdecimal() for value in values) and int(values[0]) < _NO_LIMIT:
                found.append(cls(int(values[0]), int(values[1])))
        return found
