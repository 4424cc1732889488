"""A program that uses topics while another process flips bits in their memory; see test_topic_hostile.py.

    python flipping_topic.py NAME SEED ROUNDS

Events are such as need no pickle: what unpickling damaged bytes does is Python's business (flipping.py). It prints what
came of the calls, and how long the longest took.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import mmap
import os
import queue as standard
import random
import sys
import time
import traceback
from collections import Counter
from typing import Any

import conveyor
from conveyor import Topic
from conveyor._native import TOPIC_HEADER
from conveyor.errors import ConveyorError

CALLS = 60
TIMEOUT = 0.02
REGION, HEADER = 4096, TOPIC_HEADER
PINS = REGION + 416
ENDING = PINS + 256 * 32 + 32
SLOTS = REGION + 12288 + 65536 * 40


def place(choose: random.Random, size: int) -> int:
    """Where to flip: anywhere, but mostly where something is."""
    kind = choose.random()
    if kind < 0.35:
        return REGION + choose.randrange(512)  # everything before the slots
    if kind < 0.5:
        return SLOTS + choose.randrange(64 * 4)  # the first slots
    if kind < 0.6:
        return PINS + choose.randrange(32 * 6)  # the first pins
    if kind < 0.7:
        return ENDING + choose.randrange(16 + 40 * 2)  # how it ends, and the first producers
    if kind < 0.75:
        return choose.randrange(REGION + 12288)
    return min(REGION + HEADER + 64 * choose.randrange(1024) + choose.randrange(40), size - 1)


def flip_bits(orders: int, opened: int, names: list[str], seed: int) -> None:
    """For each order: `n`, open the next topic and say so; `f`, flip a bit."""
    choose = random.Random(seed)
    memory: mmap.mmap | None = None
    remaining = iter(names)
    while got := os.read(orders, 1):
        if got == b"n":
            with open(f"/dev/shm/conveyor.{next(remaining)}", "r+b") as file:  # noqa: PTH123
                memory = mmap.mmap(file.fileno(), 0)
            os.write(opened, b"o")
        elif memory is not None:
            at = place(choose, len(memory))
            if choose.random() < 0.8:
                memory[at] ^= 1 << choose.randrange(8)
            else:  # a whole number
                at &= ~7
                value = choose.choice([0, 1, 2**32 - 1, 2**64 - 1, 2**63, choose.randrange(2**20)])
                memory[at : at + 8] = value.to_bytes(8, "little")


class Program:
    def __init__(self, topic: Topic[Any], choose: random.Random) -> None:
        self.topic, self.choose = topic, choose
        self.subscriptions = [topic.subscribe(when_slow=mode) for mode in ("block", "drop_oldest")]
        self.kept: list[Any] = []

    def event(self) -> Any:
        size = self.choose.choice((self.choose.randrange(300), 3000, 12_000))
        return self.choose.choice(
            [b"z" * size, "x" * size, ("item", size, [1.5, {"a": b"x" * size}]), {size, -1}]
        )

    def key(self) -> str | None:
        return self.choose.choice([None, "a.b", "c", "x" * 200])

    def keep(self, event: Any) -> None:
        repr(event)
        self.kept = [*self.kept[-2:], event]

    def replace(self) -> None:
        choose = self.choose
        old = choose.randrange(len(self.subscriptions))
        fresh = self.topic.subscribe(
            choose.choice([None, "a.*", "#"]),
            choose.choice(["new", "oldest", 0]),  # type: ignore[arg-type]
            when_slow=choose.choice(["block", "drop_oldest", "fail"]),
        )
        self.subscriptions[old].close()
        self.subscriptions[old] = fresh

    def call(self) -> None:
        topic, choose = self.topic, self.choose
        subscription = choose.choice(self.subscriptions)
        match choose.randrange(11):
            case 0 | 1 | 2:
                topic.publish(self.event(), self.key(), TIMEOUT)
            case 3:
                topic.publish_many([self.event() for _ in range(5)], self.key(), TIMEOUT)
            case 4 | 5:
                self.keep(subscription.get(TIMEOUT))
            case 6:
                self.keep(subscription.get_many(3, TIMEOUT))
            case 7:
                topic.statistics()
            case 8:
                topic._check(TIMEOUT)
            case 9:
                self.replace()
            case _:
                self.keep((subscription.lag, subscription.missed, subscription.seq))


def main(name: str, seed: int, rounds: int) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(50, exit=True)
    names = [f"{name}-{number}" for number in range(rounds)]
    reading, writing = os.pipe()
    waiting, opened = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    flipper = os.fork()
    if flipper == 0:
        os.close(writing)
        os.close(waiting)
        code = 1
        try:
            flip_bits(reading, opened, names, seed)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(reading)
    os.close(opened)
    choose = random.Random(seed)
    outcomes: Counter[str] = Counter()
    longest = 0.0
    # ShutDown: a flipped bit may say that the topic has ended. ValueError: of a number that from_ may not be.
    allowed = (ConveyorError, standard.Full, standard.Empty, conveyor.ShutDown, MemoryError, ValueError)
    for each in names:
        topic: Topic[Any] = Topic(each, max_bytes=2**16)
        try:
            program = Program(topic, choose)
            if choose.random() < 0.5:  # for good: subscribers look after the producers, and publishing counts
                topic._enter_producing(True)
            for _ in range(8):
                with contextlib.suppress(standard.Full):
                    topic.publish(program.event(), program.key(), 0)
            os.write(writing, b"n")
            assert os.read(waiting, 1) == b"o"
            for _ in range(CALLS):
                start = time.monotonic()
                try:
                    program.call()
                    outcomes["fine"] += 1
                except allowed as error:
                    outcomes[type(error).__name__] += 1
                longest = max(longest, time.monotonic() - start)
                with contextlib.suppress(BlockingIOError):
                    os.write(writing, b"f")
            program.subscriptions.clear()
        finally:
            del topic
            conveyor.remove(f"shm://{each}")
    os.close(writing)
    assert os.waitpid(flipper, 0)[1] == 0, "the process that flips failed"
    print(json.dumps({"longest": longest, "outcomes": outcomes}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
