"""ProcessView: a process, as those who watch show it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ProcessView"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessView:
    """What /proc says of a process."""

    pid: int
    parent: int
    state: str
    """One letter, as in `ps`: R running, S asleep, D in the kernel, T stopped, Z ended and not waited for."""
    command: str
    """Its command line, words parted by spaces; of one that has changed it, its name."""
    cpu_seconds: float
    """Processor time since it was started."""
    rss: int
    """Bytes of memory that it has resident, shared ones included."""
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def look(cls, pid: int) -> ProcessView | None:
        """None: it has ended, or cannot be seen."""
        try:
            stat = _read(f"/proc/{pid}/stat").decode(errors="replace")
            words = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return None
        name, _, rest = stat.partition("(")[2].rpartition(")")
        fields = rest.split()
        if len(fields) < 22:
            return None
        command = "".join(character if character.isprintable() else "?" for character in words or name)
        return cls(
            pid,
            int(fields[1]),
            fields[0],
            command,
            (int(fields[11]) + int(fields[12])) / _TICK,
            int(fields[21]) * _PAGE,
            int(fields[17]),
        )


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
