"""What the processes of the conformance suite do; importable by those that are spawned."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any


def put(queue: Any, items: list[Any]) -> None:
    for item in items:
        queue.put(item)


def produce(queue: Any, start: int, stop: int) -> None:
    with queue.producing():
        for number in range(start, stop):
            queue.put(number)


def consume(queue: Any, results: Any) -> None:
    results.put(list(queue))


def work(queue: Any, results: Any) -> None:
    """Lease until the end."""
    from conveyor import ShutDown

    done: list[Any] = []
    while True:
        try:
            with queue.lease(timeout=60) as item:
                done.append(item)
        except ShutDown:
            break
    results.put(done)


def hold(queue: Any, told: Any) -> None:
    """Lease an item, and hold it until this is killed."""
    lease = queue.lease(timeout=60)
    told.put(lease.item)
    time.sleep(600)


def die_producing(queue: Any, told: Any) -> None:
    """Put inside producing(), and be killed there."""
    with queue.producing():
        queue.put("last words")
        told.put("inside")
        told.close()
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)


def pass_on(queue: Any, results: Any) -> None:
    """The first item, and what the lease of the parent is here."""
    results.put(queue.get(timeout=60))


def publish(topic: Any, events: list[Any]) -> None:
    topic.publish_many(events)


def subscribe(topic: Any, told: Any, results: Any) -> None:
    with topic.subscribe() as subscription:
        told.put("ready")
        results.put(list(subscription))


def hold_url(url: str, told: Any) -> None:
    """Lease an item of the queue at a URL, and hold it until this is killed."""
    import conveyor

    lease = conveyor.connect(url).lease(timeout=60)
    told.put((lease.item, lease.attempts))
    time.sleep(600)


def produce_url(url: str, count: int) -> None:
    import conveyor

    queue = conveyor.connect(url)
    with queue.producing():
        for number in range(count):
            queue.put(number)


def count_url(url: str, results: Any) -> None:
    """Lease until the end, and tell how many."""
    import conveyor

    queue = conveyor.connect(url)
    count = 0
    try:
        while True:
            with queue.lease():
                count += 1
    except conveyor.ShutDown:
        results.put(count)


def put_and_tell(url: str, told: Any, turn: int) -> None:
    """Put until this is killed, and tell of each item that is in."""
    import conveyor

    queue = conveyor.connect(url)
    for number in range(1_000_000):
        queue.put((turn, number))
        told.put(("put", (turn, number)))


def work_and_tell(url: str, told: Any) -> None:
    """Lease until this is killed, and tell of each item that is acknowledged."""
    import conveyor

    queue = conveyor.connect(url)
    while True:
        lease = queue.lease()
        lease.acknowledge()
        told.put(("done", lease.item))


def in_doubt(put: set[Any], done: list[Any], left: list[Any]) -> set[Any]:
    """Of those that were put: whoever was killed may have acknowledged one and not have told."""
    missing = put - set(done) - set(left)
    return missing if len(missing) <= 12 else set()


def until_ahead(queue: Any, least: int = 10) -> list[Any]:
    """What was got, until so many lie ready for the next."""
    got = [queue.get(timeout=10)]
    while len(queue._link.backend._inbox) < least:
        got.append(queue.get(timeout=10))
    return got


def get_until_ahead(url: str, told: Any) -> None:
    """Get until some lies ready, and be killed."""
    import conveyor

    queue = conveyor.connect(url)  # closed, it would give back
    told.put(until_ahead(queue))
    os.kill(os.getpid(), signal.SIGKILL)


def get_thirty(url: str, told: Any) -> None:
    """Get, with nothing in hand, and be killed."""
    import conveyor

    queue = conveyor.connect(url)
    told.put([queue.get(timeout=10) for _ in range(30)])
    os.kill(os.getpid(), signal.SIGKILL)


def hold_some(url: str, told: Any) -> None:
    """Lease an item, take three, and hold the first until this is killed."""
    import conveyor

    queue: Any = conveyor.connect(url)
    lease = queue.lease(timeout=60)
    told.put((lease.item, [queue.get(timeout=60) for _ in range(3)]))
    time.sleep(600)


def take_and_weigh(url: str, told: Any) -> None:
    """Take some of what waits, in every way, and tell how far this process's own memory grew meanwhile, in bytes."""
    import conveyor

    queue: Any = conveyor.connect(url)
    for _ in range(100):
        queue.get(timeout=60)
    before = most = own_memory()
    for _ in range(10):
        for _ in range(100):
            queue.get(timeout=60)
        with queue.lease(timeout=60):
            most = max(most, own_memory())
        queue.get_many(100, timeout=60)
        most = max(most, own_memory())
    queue.close()
    told.put(most - before)


def own_memory() -> int:
    """Bytes of this process's own that are in memory: what it shares with others is not counted."""
    with Path("/proc/self/status").open() as status:
        (line,) = (line for line in status if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def hold_many_url(url: str, told: Any, count: int) -> None:
    """Lease so many items of the queue at a URL, and hold them until this is killed."""
    import conveyor

    leases = conveyor.connect(url).lease_many(count, timeout=60)
    told.put(len(leases))
    time.sleep(600)


def square(number: int) -> int:
    return number * number


def lease_and_wait(queue: Any, count: int, told: Any) -> None:
    """Tell what was leased, and be killed with it."""
    leases = [queue.lease(timeout=30) for _ in range(count)]
    told.put([lease.item for lease in leases])
    threading.Event().wait()


def retry_and_die(url: str, portion: int, before: bool) -> None:
    """Put back what was set aside, and be killed before or behind the putting of that portion."""
    import conveyor

    queue: Any = conveyor.connect(url)
    _die_at(queue, "_send", portion, before)
    queue.retry_dead()


def move_and_die(url: str, other_url: str, portion: int, before: bool) -> None:
    """Move items, and be killed before or behind the putting of that portion."""
    import conveyor
    from conveyor.transports.moving import move_items

    target: Any = conveyor.connect(other_url)
    _die_at(target, "put_many", portion, before)
    move_items(conveyor.connect(url), target, 1000, None)


def _die_at(queue: Any, name: str, turn: int, before: bool) -> None:
    call = getattr(queue, name)
    turns = 0

    def dying(*args: Any, **options: Any) -> None:
        nonlocal turns
        turns += 1
        if turns == turn and before:
            os.kill(os.getpid(), signal.SIGKILL)
        call(*args, **options)
        if turns == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(queue, name, dying)
