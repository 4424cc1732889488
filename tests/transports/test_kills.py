"""Processes are killed with leases in their hands, on every transport that other processes reach.

Some of them, or as many as CONVEYOR_FAULTS says: `CONVEYOR_FAULTS=200 make test ARGS=tests/transports/test_kills.py`.

Each process writes what it does into one file, line by line: the order of the lines is that of the deeds, as nearly as
anybody can tell. Nothing that was put may be missing in the end, and what was worked on twice was in the hands of one
that was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from diary import Diary
from transport import Transport

import conveyor

pytestmark = pytest.mark.needs("processes")

FAULTS = int(os.environ.get("CONVEYOR_FAULTS", "0"))
PRODUCERS, CONSUMERS = 3, 3
MOST_WAITING = 2000


def produce(url: str, path: Path) -> None:
    diary = Diary(path)
    queue: Any = conveyor.connect(url)
    number = 0
    while True:
        while number % 50 == 0 and queue.qsize() > MOST_WAITING:
            time.sleep(0.1)  # while consumers are held up: what waits in the end must be worked off
        item = f"{os.getpid()}:{number}"
        try:
            queue.put(item, timeout=60)
        except conveyor.ShutDown:
            return
        diary.write("put", item)
        number += 1
        time.sleep(0.002)  # the load, not a wait: consumers take longer


def consume(url: str, path: Path) -> None:
    diary = Diary(path)
    queue: Any = conveyor.connect(url)
    while True:
        try:
            lease = queue.lease()  # for as long as others have the items
        except conveyor.ShutDown:
            return
        diary.write("leased", lease.item)
        time.sleep(random.uniform(0, 0.003))  # the work
        diary.write("worked", lease.item)
        lease.acknowledge()
        diary.write("acknowledged", lease.item)


class Crew:
    """So many processes of a kind; whoever is killed is replaced."""

    def __init__(self, target: Any, count: int, url: str, path: Path) -> None:
        self._context = multiprocessing.get_context("fork")
        self._target, self._arguments = target, (url, path)
        self.killed: set[int] = set()
        self._members = [self._start() for _ in range(count)]

    def _start(self) -> Any:
        process = self._context.Process(target=self._target, args=self._arguments, daemon=True)
        process.start()
        return process

    def kill_one(self, chance: random.Random, at_work: set[int]) -> bool:
        """One that is at work, if there is one."""
        ready = [process for process in self._members if process.pid in at_work]
        if not ready:
            return False
        victim = chance.choice(ready)
        victim.kill()
        victim.join()
        self.killed.add(victim.pid)
        victim.close()
        self._members.remove(victim)
        self._members.append(self._start())
        return True

    def finish(self) -> None:
        for process in self._members:
            process.join(60)
            assert process.exitcode == 0
            process.close()


@pytest.mark.timeout(120 + 5 * FAULTS)
def test_nothing_is_lost_with_killed_consumers(url: str, tmp_path: Path, transport: Transport) -> None:
    chance = random.Random(11)
    diary = Diary(tmp_path / "diary")
    control: Any = conveyor.connect(url)
    producers = Crew(produce, PRODUCERS, url, diary.path)
    consumers = Crew(consume, CONSUMERS, url, diary.path)
    faults = FAULTS or transport.deaths
    deadline = time.monotonic() + 110 + 5 * FAULTS
    while len(consumers.killed) < faults:
        assert time.monotonic() < deadline, f"{len(consumers.killed)} of {faults} killed"
        time.sleep(chance.uniform(0, 0.01))  # at any moment
        consumers.kill_one(chance, diary.at_work("leased"))
        if chance.random() < 0.1:
            producers.kill_one(chance, diary.at_work("put"))
    control.shutdown()
    producers.finish()
    consumers.finish()
    # What the last of the killed had comes back after the end, if the transport lets go of it then.
    try:
        while True:
            diary.write("worked", control.get(timeout=10 * transport.soon))
    except (conveyor.ShutDown, conveyor.Empty):
        control.close()
        diary.close()
    deeds: dict[str, Counter[str]] = defaultdict(Counter)
    in_hand: dict[int, str] = {}
    for pid, deed, item in diary.lines():
        deeds[deed][item] += 1
        if deed == "leased":
            in_hand[pid] = item
    lost = deeds["put"].keys() - deeds["worked"].keys()
    assert not lost, f"{len(lost)} of {len(deeds['put'])} lost"
    excused = {in_hand[pid] for pid in consumers.killed}
    twice = {item for item, times in deeds["worked"].items() if times > 1}
    assert twice <= excused
    assert excused
