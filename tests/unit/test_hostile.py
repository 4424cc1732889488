"""Damage of every kind: no crash, no hang, no step outside of the segment, and an error that says it."""

from __future__ import annotations

import contextlib
import json
import os
import queue as standard
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from owners import owner_of

import conveyor
from conveyor._native import _peek_header
from conveyor.errors import ConveyorError, CorruptSegment, VersionMismatch

SHARED_MEMORY = Path("/dev/shm")
PROGRAM = Path(__file__).with_name("flipping.py")
# Of a call with a timeout of a tenth of a second; each lock inside may cost a little more, once.
IN_TIME = 5.0
SANITIZED = "CONVEYOR_SANITIZED" in os.environ


def file_of(name: str) -> Path:
    return SHARED_MEMORY / f"conveyor.{name}"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class TestFlippedBits:
    @pytest.mark.slow
    @pytest.mark.parametrize("codec", ["auto", "raw"])
    @pytest.mark.parametrize("seed", [1, 2])
    def test_flipped_while_everything_goes_on(self, name: str, codec: str, seed: int) -> None:
        done = subprocess.run(
            [sys.executable, PROGRAM, name, codec, str(seed), "20" if SANITIZED else "60"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=55,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["longest"] < IN_TIME
        # The damage was really met, and really survived.
        assert told["outcomes"]["CorruptSegment"] > 10
        assert told["outcomes"]["fine"] > 100


# What a lock's word may say. `living`: a process that has nothing to do with the queue.
LOCKS = {"producers_lock": 512, "consumers_lock": 640, "ready_lock": 832, "pool_lock": 896}
LIVING = {
    "living": lambda: owner_of(os.getppid()),
    "ourselves": lambda: owner_of(os.getpid()),
    "no start time": lambda: os.getppid() << 1,
}
IMPOSSIBLE = {
    "a mark alone": lambda: 1,
    "no pid": lambda: 77 << 23,
    "all ones": lambda: 2**64 - 1,
    "past the largest pid": lambda: 5 << 23 | 0x3FFFFF << 1,
    "a recycled pid": lambda: owner_of(os.getppid()) + (1 << 23),
}


def hold(name: str, lock: str, word: int) -> None:
    with file_of(name).open("r+b") as file:
        file.seek(LOCKS[lock])
        file.write(word.to_bytes(8, "little"))
        file.flush()
        assert _peek_header(file.fileno())[lock] == word & ~1, (
            "the layout has changed: where is the lock now?"
        )


def calls(queue: Any) -> list[Callable[[], Any]]:
    return [
        lambda: queue.put(1, timeout=0.1),
        lambda: queue.put(b"x" * 200_000, timeout=0.1),
        lambda: queue.put_many([1, b"x" * 50_000, "y" * 60_000], timeout=0.1),
        lambda: queue.get(timeout=0.1),
        lambda: queue.get_many(5, timeout=0.1),
        lambda: queue.get_nowait(),
        lambda: queue.put_nowait(2),
        lambda: queue.allocate_bytes(100_000),
        lambda: queue._reader.poll(0.1),
        queue.empty,
        queue.qsize,
        queue.statistics,
        lambda: queue._check(0.1),
        lambda: queue._reader.fileno(),
    ]


class TestDamagedLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    @pytest.mark.parametrize("word", LIVING)
    @pytest.mark.parametrize("watched", [False, True])
    def test_one_that_looks_held_for_ever(self, name: str, lock: str, word: str, watched: bool) -> None:
        queue: Any = conveyor.connect(f"shm://{name}")
        queue.put_many([*range(20_000), b"z" * 100_000])
        if watched:
            queue._reader.fileno()
        hold(name, lock, LIVING[word]())
        for number, call in enumerate(calls(queue)):
            start = time.monotonic()
            with contextlib.suppress(standard.Full, standard.Empty, ConveyorError, TimeoutError):
                call()
            assert time.monotonic() - start < IN_TIME, f"call {number}"
        hold(name, lock, 0)  # whoever held it went on: so do all
        queue.put("after", timeout=5)
        while queue.get(timeout=5) != "after":
            pass
        queue.statistics()
        assert queue._check() == ""

    @pytest.mark.parametrize("lock", LOCKS)
    @pytest.mark.parametrize("word", IMPOSSIBLE)
    def test_one_whose_holder_cannot_be_is_taken_over(self, name: str, lock: str, word: str) -> None:
        queue: Any = conveyor.connect(f"shm://{name}")
        queue._reader.fileno()
        queue.put_many([1, b"z" * 100_000])
        for call in (
            lambda: queue.put(b"x" * 200_000, timeout=5),
            lambda: queue.get(timeout=5),
            lambda: queue.statistics(),
        ):
            hold(name, lock, IMPOSSIBLE[word]())
            call()
        assert [len(item) for item in queue.get_many(timeout=5)] == [100_000, 200_000]
        assert queue._check() == ""

    @pytest.mark.parametrize("at", [208, 272])  # EventCount::spinner_ of not_empty and not_full
    def test_a_spinner_that_never_ends_delays_nobody(self, name: str, at: int) -> None:
        """Its mark would keep every put from waking the sleeper, whose slice then is up to two seconds."""
        queue = conveyor.connect(f"shm://{name}", maxsize=1)
        if at == 272:
            queue.put(0)
        code = (
            "import conveyor, sys, time\n"
            "queue = conveyor.connect(sys.argv[1])\n"
            "for _ in range(5):\n"
            "    queue.get(timeout=20) if sys.argv[2] == '208' else queue.put(1, timeout=20)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, f"shm://{name}", str(at)], env=environment()
        ) as child:
            start = time.monotonic()
            with file_of(name).open("r+b") as file:
                for _ in range(5):
                    file.seek(at)
                    file.write((2**63 - 1).to_bytes(8, "little"))
                    file.flush()
                    queue.put(1, timeout=20) if at == 208 else queue.get(timeout=20)
            assert child.wait(20) == 0
        assert time.monotonic() - start < 15


class TestWhatIsOfferedToConnect:
    def offers(self, name: str) -> Iterator[tuple[str, type[BaseException]]]:
        path = file_of(name)
        path.touch()
        yield "empty", CorruptSegment
        os.truncate(path, 2**43)
        yield "huge and sparse", CorruptSegment
        path.unlink()
        path.mkdir()
        yield "a directory", CorruptSegment
        path.rmdir()
        os.mkfifo(path)
        yield "a FIFO", CorruptSegment
        path.unlink()
        path.symlink_to("/dev/zero")
        yield "a symbolic link", CorruptSegment
        path.unlink()
        path.symlink_to("conveyor.nothing-is-there")
        yield "a dangling link", CorruptSegment
        path.unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            yield "a socket", CorruptSegment
        path.unlink()
        conveyor.connect(f"shm://{name}").put("x")
        with path.open("rb") as file:
            whole = file.read(5 * 4096)
        for field, at, size in (("pages", 48, 4), ("total", 16, 8), ("descriptors", 24, 8), ("cold", 32, 8)):
            for value in (0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1)):
                with path.open("r+b") as file:
                    file.seek(at)
                    file.write(value.to_bytes(size, "little"))
                yield f"{field} is {value}", CorruptSegment
            with path.open("r+b") as file:
                file.write(whole)
        for version in (0, 1, 3, 2**32 - 1):
            with path.open("r+b") as file:
                file.seek(8)
                file.write(version.to_bytes(4, "little"))
            if version != int.from_bytes(whole[8:12], "little"):
                yield f"version {version}", VersionMismatch
        with path.open("r+b") as file:
            file.write(whole)
        conveyor.connect(f"shm://{name}", create=False)
        os.truncate(path, path.stat().st_size - 1)
        yield "cut short", CorruptSegment

    def test_is_refused_with_an_error_of_its_own(self, name: str) -> None:
        for what, expected in self.offers(name):
            for create in (None, False):
                start = time.monotonic()
                with pytest.raises(expected) as raised:
                    conveyor.connect(f"shm://{name}", create=create)
                assert raised.type is expected, what
                assert time.monotonic() - start < IN_TIME, what
            with pytest.raises(FileExistsError):
                conveyor.connect(f"shm://{name}", create=True)

    def test_one_of_more_pages_than_there_are_addresses(self, name: str) -> None:
        """Everything in its header fits together: no more of it is mapped than is used."""
        conveyor.connect(f"shm://{name}")
        pages = 2**32 - 2
        with file_of(name).open("r+b") as file:
            table = 65536 + pages * 65536
            leases = (table + (pages + 2047) // 2048 * 65792 + 4095) // 4096 * 4096
            total = leases + 65536 * 256 + 65536 * 40
            file.seek(16)
            for number, size in ((total, 8), (65536, 8), (table, 8), (leases, 8), (pages, 4)):
                file.write(number.to_bytes(size, "little"))
        os.truncate(file_of(name), total)
        queue = conveyor.connect(f"shm://{name}")
        queue.put(b"x" * 5_000_000)
        assert queue.get() == b"x" * 5_000_000
        # A page that was never in use is damage, and no reason to map all that lies before it.
        with file_of(name).open("r+b") as file:
            for state in (528, 552):  # both copies of the producers' state
                file.seek(state)
                file.write((pages - 1).to_bytes(4, "little"))
        with pytest.raises(CorruptSegment):
            queue.put(1)

    @pytest.mark.parametrize("kind", ["file", "directory", "link"])
    def test_a_descriptor_that_is_none(self, name: str, kind: str) -> None:
        """A token must never be written into whatever lies where the FIFO should."""
        queue = conveyor.connect(f"shm://{name}")
        queue.put(1)
        ready = SHARED_MEMORY / f"conveyor.{name}.ready"
        other = SHARED_MEMORY / f"conveyor.{name}-other"
        other.write_bytes(b"precious")
        if kind == "directory":
            ready.mkdir()
        elif kind == "link":
            ready.symlink_to(other)
        else:
            other.rename(ready)
            other = ready
        with pytest.raises(OSError):  # noqa: PT011  (EEXIST, EISDIR or ELOOP)
            queue._reader.fileno()
        queue.put(2)
        assert [queue.get(), queue.get()] == [1, 2]
        assert other.read_bytes() == b"precious"

    def test_no_queue_is_named_as_the_descriptor_of_another(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"\.ready"):
            conveyor.connect(f"shm://{name}.ready")
        conveyor.connect(f"shm://{name}.ready.x")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, who is then refused")
    def test_another_user_can_neither_attach_nor_see_nor_remove(self, name: str) -> None:
        queue = conveyor.connect(f"shm://{name}")
        queue.put("secret")
        queue._reader.fileno()
        for path in SHARED_MEMORY.glob(f"conveyor.{name}*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        code = """
import os, sys
import conveyor
from conveyor import connect, inspection, remove  # while we may still read it
from conveyor.inspection import collect, examine
name = sys.argv[1]
list(examine([])), collect([])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for attempt in (
    lambda: conveyor.connect(f"shm://{name}"),
    lambda: conveyor.connect(f"shm://{name}", create=False),
    lambda: conveyor.remove(f"shm://{name}"),
    lambda: open(f"/dev/shm/conveyor.{name}", "rb"),
    lambda: open(f"/dev/shm/conveyor.{name}.ready", "rb"),
    lambda: open(f"/proc/{os.getppid()}/fd/{sys.argv[2]}", "rb"),
):
    try:
        attempt()
    except PermissionError:
        print("refused")
print(collect([name], force=True), [each for each in examine([name]) if each.about == "queue"])
"""
        done = subprocess.run(
            [sys.executable, "-c", code, name, str(queue._segment.memory_fd)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stdout == "refused\n" * 6 + "[] []\n", done.stderr
        assert queue.get() == "secret"


def test_a_process_stopped_inside_a_call_is_waited_for_within_the_timeout(name: str) -> None:
    """What a damaged word looks like is also what a debugger does."""
    queue: Any = conveyor.connect(f"shm://{name}")
    queue.put_many(range(100))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        other.send_signal(signal.SIGSTOP)
        for lock in LOCKS:
            hold(name, lock, owner_of(other.pid))
            start = time.monotonic()
            with contextlib.suppress(standard.Full, standard.Empty):
                queue.put(b"x" * 100_000, timeout=0.1)
            with contextlib.suppress(standard.Empty):
                queue.get(timeout=0.1)
            assert time.monotonic() - start < IN_TIME
            hold(name, lock, 0)
        for lock in LOCKS:
            hold(name, lock, owner_of(other.pid))
        other.kill()
        other.wait()
        queue.put("after its death", timeout=10)
        queue.get(timeout=10)
    assert queue._check() == ""
