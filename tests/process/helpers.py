"""What the process tests share: children, conditions with a deadline, and a ledger that outlives SIGKILL.

Children started by spawn and forkserver import this module, so it imports little.
"""

from __future__ import annotations

import mmap
import os
import queue as standard
import random
import signal
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

METHODS = ("fork", "spawn", "forkserver")
RUNNING, STOP, DRAIN = 0, 1, 2
_PAIR = struct.Struct("=qq")


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Wait until `condition()` is true; returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.002)


def asleep(pid: int) -> bool:
    """Whether every thread of the process sleeps in the kernel."""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
    return all(state == "S" for state in states)


def soundly_asleep(pid: int) -> bool:
    """Whether the process slept at ten looks in a row: it waits for what does not come by itself."""
    for _ in range(10):
        if not asleep(pid):
            return False
        time.sleep(0.002)
    return True


def thread_asleep(thread: int) -> bool:
    """Whether that thread of this process, by its native id, slept at eight looks in a row."""
    for _ in range(8):
        if Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.001)
    return True


def finish(process: BaseProcess, seconds: float = 30.0) -> None:
    """Wait for the process to end by itself, well."""
    process.join(seconds)
    assert process.exitcode == 0, f"{process} should have ended by itself with 0"


@contextmanager
def crew() -> Iterator[list[BaseProcess]]:
    """A list of processes, none of which outlives the block, however it is left."""
    members: list[BaseProcess] = []
    try:
        yield members
    finally:
        for member in members:
            if member.is_alive():
                member.kill()
        for member in members:
            member.join()
            member.close()


def python(code: str, *arguments: object, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter; this module is importable there."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path])),
        },
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def anonymous_memory() -> int:
    """Bytes of this process's own memory, shared memory not counted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/self/status")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# -- the ledger -----------------------------------------------------------------------------------------


def mapped(path: Path, size: int) -> mmap.mmap:
    """A small file as memory; what is written there stays when the writer is killed."""
    with path.open("a+b") as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def item(producer: int, number: int) -> tuple[int, int, Any]:
    """The item of that number: small, pickled, of several pages or in a run of its own."""
    if number % 41 == 0:
        return producer, number, bytes([number % 251]) * 150_000
    forms = (None, b"x" * (number % 60), Decimal(number), [number, {"key": "value"}], "y" * 6000)
    return producer, number, forms[number % 5]


def produce(queue: Any, folder: Path, producer: int, batch: int) -> None:
    """Put items until told to stop, noting each before it is put and again when `put` has returned."""
    notes, orders = mapped(folder / f"producer-{producer}", _PAIR.size), mapped(folder / "orders", 1)
    number = 0
    while orders[0] == RUNNING:
        # Eight bytes by one store each: pack_into would write zeros first, and we may be killed between.
        notes[:8] = (number + batch).to_bytes(8, sys.byteorder)
        if batch == 1:
            queue.put(item(producer, number + 1))
        else:
            queue.put_many([item(producer, number + 1 + i) for i in range(batch)])
        number += batch
        notes[8:] = number.to_bytes(8, sys.byteorder)


def consume(queue: Any, folder: Path, consumer: int, batch: int) -> None:
    """Take items and note each, until told to leave when the queue is empty."""
    orders = mapped(folder / "orders", 1)
    notes = os.open(folder / f"consumer-{consumer}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    while True:
        last = orders[0] == DRAIN
        try:
            items = (
                [queue.get(not last, 0.05)]
                if batch == 1
                else queue.get_many(batch, block=not last, timeout=0.05)
            )
        except standard.Empty:
            if last:
                return
            continue
        for got in items:
            assert got == item(got[0], got[1]), "an item arrived changed"
        os.write(notes, b"".join(_PAIR.pack(got[0], got[1]) for got in items))


class Mill:
    """Producers and consumers on one queue, killed at random and replaced, and a check of what arrived."""

    def __init__(self, context: BaseContext, queue: Any, folder: Path, batch: int = 1, seed: int = 1) -> None:
        self.context, self.queue, self.folder, self.batch = context, queue, folder, batch
        self.random = random.Random(seed)
        self.orders = mapped(folder / "orders", 1)
        self.members: dict[str, list[tuple[int, BaseProcess]]] = {"producer": [], "consumer": []}
        self.started = {"producer": 0, "consumer": 0}
        self.killed = {"producer": 0, "consumer": 0}

    def hire(self, kind: str, keep: list[BaseProcess]) -> None:
        target = produce if kind == "producer" else consume
        arguments = (self.queue, self.folder, self.started[kind], self.batch)
        process = self.context.Process(target=target, args=arguments, daemon=True)  # type: ignore[attr-defined]
        process.start()
        self.members[kind].append((self.started[kind], process))
        self.started[kind] += 1
        keep.append(process)

    def at_work(self, kind: str, number: int) -> bool:
        path = self.folder / f"{kind}-{number}"
        return path.exists() and (kind == "consumer" or any(path.read_bytes()))

    def run(self, kinds: tuple[str, ...], kills: int, producers: int = 2, consumers: int = 2) -> None:
        with crew() as everybody:
            for kind, count in (("producer", producers), ("consumer", consumers)):
                for _ in range(count):
                    self.hire(kind, everybody)
            before = 0
            for turn in range(kills):
                kind = self.random.choice(kinds)
                # Every tenth time wait for progress, so that each survivor has really had its turn.
                if turn % 10 == 0:
                    until(lambda: self.taken() > before, "items still arrive")  # noqa: B023
                    before = self.taken()
                number, victim = self.members[kind].pop(self.random.randrange(len(self.members[kind])))
                until(lambda: self.at_work(kind, number), "it has begun")  # noqa: B023
                time.sleep(self.random.random() * 0.004)  # a random moment is the point
                os.kill(victim.pid or 0, signal.SIGKILL)
                victim.join()
                assert victim.exitcode == -signal.SIGKILL, "it had died by itself before"
                self.killed[kind] += 1
                self.hire(kind, everybody)
            until(lambda: self.taken() > before, "items still arrive at the end")
            self.orders[0] = STOP
            for _, process in self.members["producer"]:
                finish(process)
            self.orders[0] = DRAIN
            for _, process in self.members["consumer"]:
                finish(process)

    def taken(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("consumer-*")) // _PAIR.size

    def check(self) -> None:
        """Everything whose put returned arrived once, but for what a killed consumer had in its hand."""
        arrived: dict[int, set[int]] = defaultdict(set)
        for path in self.folder.glob("consumer-*"):
            latest: dict[int, int] = defaultdict(int)
            for producer, number in _PAIR.iter_unpack(path.read_bytes()):
                assert number > latest[producer], f"{path.name} saw {producer}'s items out of order"
                assert number not in arrived[producer], f"item {number} of {producer} arrived twice"
                latest[producer] = number
                arrived[producer].add(number)
        lost = 0
        for producer in range(self.started["producer"]):
            path = self.folder / f"producer-{producer}"
            if not path.exists():
                continue  # killed before it did anything
            begun, returned = _PAIR.unpack(path.read_bytes())
            assert arrived[producer] <= set(range(1, begun + 1)), "something arrived that was never put"
            lost += len(set(range(1, returned + 1)) - arrived[producer])
        assert lost <= self.killed["consumer"] * self.batch, f"{lost} items lost; killed: {self.killed}"
        assert self.queue.qsize() == 0
        self.queue.statistics()  # looks for the dead, whose unfinished work then is swept
        trouble = self.queue._check()
        assert trouble == "", trouble


def echo(there: Any, back: Any, count: int) -> None:
    for _ in range(count):
        back.put(there.get())
