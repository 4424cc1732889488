"""What a disk has after a power cut: what was synchronised, and any part of what was written after that.

Follows the writes of a process that is traced (x86-64), file by file, by the numbers of its system calls. A write that
was not synchronised may be there afterwards or not, whatever became of those before it: disks and file systems write
in any order.
"""

from __future__ import annotations

import ctypes
import platform
import random
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Disk", "can_follow"]

_GETREGS = 12
_PWRITE, _WRITE, _FSYNC, _FDATASYNC, _FTRUNCATE = 18, 1, 74, 75, 77
# Where the registers stand in the kernel's struct user_regs_struct.
_R10, _RAX, _RDX, _RSI, _RDI, _ORIG_RAX, _COUNT = 7, 10, 12, 13, 14, 15, 27

_libc = ctypes.CDLL(None, use_errno=True)


def can_follow() -> bool:
    """Whether the registers are those of this machine."""
    return platform.machine() == "x86_64"


@dataclass
class _Change:
    """Bytes written at a place, or (`data` None) the size changed to `start`."""

    start: int
    data: bytes | None
    before: bytes
    size_before: int


@dataclass
class _File:
    unsynced: list[_Change] = field(default_factory=list)
    total: int = 0


class Disk:
    """The files of a folder, as a power cut would leave them.

    Args:
        folder: files in other places are not followed.
        names: how the names of the files end that are followed.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = folder
        self._names = names
        self._files: dict[str, _File] = {}
        self._entered: tuple[int, str, _Change | None] | None = None

    @property
    def writes(self) -> int:
        """How many there were so far."""
        return sum(file.total for file in self._files.values())

    def entering(self, pid: int) -> None:
        """The process is about to make a system call."""
        registers = _registers(pid)
        call = registers[_ORIG_RAX]
        self._entered = None
        if call not in (_PWRITE, _WRITE, _FSYNC, _FDATASYNC, _FTRUNCATE):
            return
        try:
            path = Path(f"/proc/{pid}/fd/{registers[_RDI]}").readlink()
        except OSError:
            return
        if path.parent != self._folder or not path.name.endswith(self._names):
            return
        assert call != _WRITE, f"{path.name} is written without a place, which this does not follow"
        change = None
        size = path.stat().st_size
        if call == _PWRITE:
            with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
                memory.seek(registers[_RSI])
                data = memory.read(registers[_RDX])
            change = _Change(registers[_R10], data, _at(path, registers[_R10], len(data)), size)
        elif call == _FTRUNCATE:
            change = _Change(registers[_RSI], None, _at(path, registers[_RSI], size), size)
        self._entered = (call, path.name, change)

    def left(self, pid: int) -> None:
        """The system call has been made."""
        if self._entered is None:
            return
        call, name, change = self._entered
        self._entered = None
        result = _registers(pid)[_RAX]
        if result < 0:
            return
        file = self._files.setdefault(name, _File())
        if call in (_FSYNC, _FDATASYNC):
            file.unsynced.clear()
        elif change is not None:
            if change.data is not None:
                change.data = change.data[:result]
            file.unsynced.append(change)
            file.total += 1

    def cut(self, chance: random.Random) -> int:
        """Leave in the files what survives; how many writes did not."""
        lost = 0
        for name, file in self._files.items():
            path = self._folder / name
            if not path.exists():
                continue
            content = bytearray(path.read_bytes())
            for change in reversed(file.unsynced):
                _undo(content, change)
            for change in file.unsynced:
                if chance.random() < 0.5:
                    _redo(content, change)
                else:
                    lost += 1
            path.write_bytes(content)
        return lost


def _at(path: Path, start: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count)


def _undo(content: bytearray, change: _Change) -> None:
    content[change.start : change.start + len(change.before)] = change.before
    del content[change.size_before :]


def _redo(content: bytearray, change: _Change) -> None:
    end = change.start + len(change.data or b"")
    content.extend(bytes(max(end - len(content), 0)))
    if change.data is None:
        del content[change.start :]
    else:
        content[change.start : end] = change.data


def _registers(pid: int) -> list[int]:
    found = (ctypes.c_longlong * _COUNT)()
    _libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if _libc.ptrace(_GETREGS, pid, None, ctypes.byref(found)) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return list(found)
