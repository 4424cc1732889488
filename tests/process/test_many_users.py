"""More producers and subscriptions than fit in front of the tables, and what it costs to have had them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from helpers import until

import conveyor

MANY = 300
SUBSCRIPTIONS = 2000


@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.SimpleQueue])
def test_many_processes_are_producers(kind: Any) -> None:
    queue = kind()
    queue.expect_producers(MANY)
    go_on, hold = os.pipe()
    children = []
    for number in range(MANY):
        child = os.fork()
        if child == 0:
            os.close(hold)
            try:
                with queue.producing():
                    queue.put(number)
                    os.read(go_on, 1)  # until all are inside
                    if number % 100 == 7:
                        os.kill(os.getpid(), signal.SIGKILL)
                    queue.put(-number)
            finally:
                os._exit(0)
        children.append(child)
    first = [queue.get() for _ in range(MANY)]
    assert sorted(first) == list(range(MANY))
    assert not queue.is_shutdown
    os.close(hold)
    os.close(go_on)
    for child in children:
        os.waitpid(child, 0)
    with pytest.raises(conveyor.ProducerLost) as lost:
        while True:
            queue.get()
    assert lost.value.others == MANY // 100 - 1


def test_a_topic_has_many_subscriptions() -> None:
    topic: conveyor.Topic[Any] = conveyor.Topic()
    subscriptions = [topic.subscribe() for _ in range(SUBSCRIPTIONS)]
    assert len(topic.statistics().subscribers) == SUBSCRIPTIONS
    for n in range(3):
        topic.publish(n)
    for each in subscriptions:
        assert [each.get(timeout=5) for _ in range(3)] == [0, 1, 2]
    kept = subscriptions[5]
    del subscriptions, each
    assert len(topic.statistics().subscribers) == 1
    topic.publish("still")
    assert kept.get(timeout=5) == "still"
    others = [topic.subscribe() for _ in range(300)]
    topic.publish("again")
    assert {each.get(timeout=5) for each in [kept, *others]} == {"again"}


def test_slots_of_the_dead_are_given_to_others() -> None:
    topic: conveyor.Topic[Any] = conveyor.Topic()
    mine = topic.subscribe()
    child = os.fork()
    if child == 0:
        kept = [topic.subscribe(when_slow="block") for _ in range(SUBSCRIPTIONS)]
        topic.publish(len(kept))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert mine.get(timeout=30) == SUBSCRIPTIONS

    def only_one() -> bool:
        with topic.subscribe():
            pass
        return len(topic.statistics().subscribers) == 1

    until(only_one, "the dead have no slots")


def test_without_memory_a_subscription_is_refused() -> None:
    # A limit of the size of files stands for memory that is used up: the named topic's tables lie in a file.
    program = textwrap.dedent(
        """
        import os, shutil, sys
        import conveyor

        topic = conveyor.connect(f"shm://many-{os.getpid()}?kind=topic", max_bytes=65536)
        kept = []
        try:
            free = shutil.disk_usage("/dev/shm").free
            with open("/dev/shm/filler", "wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, free)
            try:
                while len(kept) < 5000:
                    kept.append(topic.subscribe())
            except conveyor.OutOfMemory as error:
                assert "subscription" in str(error), error
            else:
                sys.exit("no error")
            os.unlink("/dev/shm/filler")
            more = topic.subscribe()
            topic.publish("fine")
            assert more.get(timeout=5) == "fine"
        finally:
            conveyor.remove(f"shm://many-{os.getpid()}")
        """
    )
    mounted = 'mount -t tmpfs -o size=4m none /dev/shm && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mounted, "sh", sys.executable, "-c", program]
    probe = subprocess.run([*command[:4], "mount -t tmpfs none /dev/shm"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("may not mount")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_unused_capacity_costs_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    topics = [conveyor.Topic(max_bytes=65536) for _ in range(50)]
    queues = [conveyor.Queue() for _ in range(50)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000
    del topics, queues
