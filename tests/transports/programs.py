"""What the processes of the conformance suite do; importable by those that are spawned."""

from __future__ import annotations

import os
import signal
import time
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
