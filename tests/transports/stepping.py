"""Kills a process between any two of its system calls, by ptrace.

Run as a program: `stepping.py FOLDER RUNS SYNC` runs the scenario below once to count its system calls, and then so
many times, killed at one after the other. After each, what it has told is compared with what is in the queue.
With `power` behind it, the power fails at that moment as well: what was not synchronised is there or not, by chance
(`power.py`); then `sync=full` owes all that it has told, and `sync=normal` a sound file with some of it, in order.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from power import Disk, can_follow

import conveyor
import conveyor.transports.connecting
import conveyor.transports.sqlite  # here, and not in each child

_TRACEME, _SYSCALL, _SETOPTIONS = 0, 24, 0x4200
_EXITKILL = 0x100000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class NoPtrace(Exception):
    """The system does not let us."""


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def run(program: Callable[[], None], kill_at: int, disk: Disk | None = None) -> int:
    """Run it in a child, killed at its so-many-th stop at a system call; how many there were.

    Args:
        program: what the child does.
        kill_at: negative: never.
        disk: follows what it writes.
    """
    pid = os.fork()
    if pid == 0:
        try:
            _ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            program()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"child: {error!r}\n".encode())
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise NoPtrace
    _ptrace(_SETOPTIONS, pid, _EXITKILL)
    stops = 0
    pending = 0
    inside = False  # a system call
    while True:
        if stops == kill_at:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return stops
        _ptrace(_SYSCALL, pid, pending)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, status
            return stops
        assert os.WIFSTOPPED(status), status
        stops += 1
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            pending = os.WSTOPSIG(status)
            continue
        pending = 0
        inside = not inside
        if disk is not None:
            disk.entering(pid) if inside else disk.left(pid)


# -- the scenario; it tells of each step before and after it


def scenario(url: str, tell: Callable[[str], None]) -> None:
    queue = conveyor.connect(url, max_attempts=10)
    tell("begin")
    for number in (1, 2, 3):
        tell(f"put {number}")
        queue.put(number)
        tell(f"done put {number}")
    tell("many 4 5 6 7 8 9")
    queue.put_many([4, 5, 6, 7, 8, 9])
    tell("done many 4 5 6 7 8 9")
    tell("take 1")
    queue.get()
    tell("done take 1")
    lease = queue.lease()
    tell("take 2")
    lease.acknowledge()
    tell("done take 2")
    queue.lease().release()  # 3
    queue.lease().release(delay=0.01)  # 3, again
    lease = queue.lease()  # 4, or 3 if that took long
    tell(f"bury {lease.item}")
    lease.reject("bad")
    tell(f"done bury {lease.item}")
    leases = queue.lease_many(2)  # 5 and 6, or 3
    tell("hold")
    del leases


def check(url: str, path: Path, told: list[str], durable: bool = True) -> None:
    """Compare what the child has told with what is there.

    Args:
        durable: whether it owes what it has told; else it may have lost the last of it.
    """
    started: dict[str, set[int]] = {"put": set(), "take": set(), "bury": set(), "many": set()}
    done: dict[str, set[int]] = {"put": set(), "take": set(), "bury": set(), "many": set()}
    for line in told:
        words = line.split()
        into = done if words[0] == "done" else started
        words = words[1:] if words[0] == "done" else words
        if words[0] in into:
            into[words[0]] |= set(map(int, words[1:]))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    queue = conveyor.connect(url)
    began = time.monotonic()
    queue.put(1000)
    left: list[int] = []
    while True:
        try:
            left += queue.get_many(100, timeout=0.1)
        except conveyor.Empty:
            break
    assert time.monotonic() - began < 30
    dead = queue.statistics().dead
    assert queue.statistics().depth == queue.statistics().leased == 0
    queue.close()
    assert len(left) == len(set(left)), f"twice: {left}"
    assert 1000 in left
    there = set(left) - {1000}
    assert there <= started["put"] | started["many"]
    batch = {4, 5, 6, 7, 8, 9}
    assert not there & batch or batch <= there | started["bury"], f"half a batch: {there}"
    if not durable:
        gone = there | started["take"] | started["bury"]
        assert gone >= set(range(1, max(there, default=0))), f"a later one without those before: {there}"
        return
    put = done["put"] | done["many"]
    assert there | (started["take"] | started["bury"]) >= put, f"lost: {put - there}"
    assert not there & (done["take"] | done["bury"]), f"came back: {there & done['take']}"
    if done["bury"] or started["bury"] - there:
        assert dead == 1


def once(folder: Path, kill_at: int, sync: str, chance: random.Random | None = None) -> int:
    """Run the scenario and check it; `chance`: of what survives a power cut, None: there is none."""
    folder.mkdir()
    path = folder / "q.db"
    url = f"sqlite:///{path}?queue=a&sync={sync}"
    reading, writing = os.pipe()
    disk = Disk(folder, ("q.db", "q.db-wal")) if chance is not None else None

    def program() -> None:
        scenario(url, lambda line: os.write(writing, f"{line}\n".encode()) and None)

    try:
        stops = run(program, kill_at, disk)
    finally:
        os.close(writing)
    with os.fdopen(reading) as told:
        lines = told.read().splitlines()
    if disk is not None and chance is not None:
        assert disk.writes or kill_at >= 0
        disk.cut(chance)
        for each in folder.glob("q.db-*"):  # what is in memory is gone
            if not each.name.endswith("-wal"):
                each.unlink()
    try:
        check(url, path, lines, chance is None or sync == "full")
    except BaseException:
        print(f"killed at stop {kill_at} of {stops}, after {lines[-1:]}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    return stops


def main(folder: str, runs: int, sync: str, power: bool) -> None:
    place: Any = Path(folder)
    conveyor.connect("memory://warm").put(1)
    seed = random.randrange(2**32)
    try:
        total = once(place / "whole", -1, sync, random.Random(seed) if power else None)
    except NoPtrace:
        print("no ptrace here")
        return
    stride = max(total // runs, 1)
    places = range(random.randrange(stride), total + 1, stride)
    for kill_at in places:
        once(place / str(kill_at), kill_at, sync, random.Random(seed + kill_at) if power else None)
    print(f"killed at {len(places)} of {total} places")


if __name__ == "__main__":
    if "power" in sys.argv and not can_follow():
        print("no ptrace here that this can follow")
    else:
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3], "power" in sys.argv)
