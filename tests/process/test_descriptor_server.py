"""A process that offers descriptors, and has none left to be asked by."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

from helpers import finish

import conveyor
from conveyor._memory.descriptor_server import server

fork = multiprocessing.get_context("fork")
TICKS = os.sysconf("SC_CLK_TCK")


def offer_two(offers: Any, orders: Any, without_spare: bool) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"here")
    for _ in range(2):
        taken: list[bool] = []
        offers.put(
            server.offer(
                object(),
                1,
                lambda taken=taken: (taken.append(True), (reading,)),  # type: ignore[misc]
                lambda taken=taken: bool(taken),  # type: ignore[misc]
            )
        )
    if without_spare:
        server._spare.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    held: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.dup(reading))
    offers.put(len(held))
    orders.get(timeout=60)
    os.close(held.pop())
    orders.get(timeout=60)


def test_it_hands_them_over() -> None:
    offers, orders = conveyor.Queue[Any](), conveyor.Queue[Any]()
    sender = fork.Process(target=offer_two, args=(offers, orders, False))
    sender.start()
    first, second, held = (offers.get(timeout=20) for _ in range(3))
    assert held > 100
    began = time.monotonic()
    for offer in (first, second):
        [fd] = offer.take()
        os.close(fd)
    assert time.monotonic() - began < 5
    orders.put_many([None, None])
    finish(sender)


def test_without_one_in_reserve_it_waits_idly() -> None:
    offers, orders = conveyor.Queue[Any](), conveyor.Queue[Any]()
    sender = fork.Process(target=offer_two, args=(offers, orders, True))
    sender.start()
    first, second, _ = (offers.get(timeout=20) for _ in range(3))
    taken: list[Any] = []
    taking = threading.Thread(target=lambda: taken.append(first.take()))
    taking.start()
    before = seconds_of(sender.pid)
    time.sleep(1)
    assert seconds_of(sender.pid) - before < 0.4, "it asks now and then"
    assert not taken
    orders.put("close one")
    taking.join(20)
    for [fd] in (taken[0], second.take()):
        os.close(fd)
    orders.put("end")
    finish(sender)


def seconds_of(pid: int | None) -> float:
    """Of a processor, that the process has had."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS
