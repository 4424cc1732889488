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
    started: float
    """Seconds after the system was: two views of one pid are of the same process if they agree in this."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def look(cls, pid: int, before: ProcessView | None = None) -> ProcessView | None:
        """None: it has ended, or cannot be seen.

        Args:
            pid: its number.
            before: an earlier look: its command line is not asked for again, for which the kernel makes those who ask
                wait while the process changes its memory map.
        """
        try:
            stat = _read(f"/proc/{pid}/stat").decode(errors="replace")
            name, _, rest = stat.partition("(")[2].rpartition(")")
            fields = rest.split()
            if len(fields) < 22:
                return None
            started = int(fields[19]) / _TICK
            if before is not None and before.started == started:
                command = before.command
            else:
                words = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
                command = "".join(each if each.isprintable() else "?" for each in words or name)
        except OSError:
            return None
        return cls(
            pid,
            int(fields[1]),
            fields[0],
            command,
            (int(fields[11]) + int(fields[12])) / _TICK,
            int(fields[21]) * _PAGE,
            int(fields[17]),
            started,
        )


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
