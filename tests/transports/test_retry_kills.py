"""Who puts back what was set aside, or moves items, is killed in the midst: all is there, one portion of it twice."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable
from queue import Empty
from time import monotonic
from typing import Any

import programs
import pytest
from transport import Transport

from conveyor.transports.port import ConnectionLost

PORTION, COUNT = 100, 230
# When it dies with the second portion, and how many are in both places then.
DEATHS = {"before it is put": 0, "before it is removed": PORTION}


@pytest.fixture(autouse=True)
def _on_a_broker(transport: Transport) -> None:
    if transport.scheme == "shm":
        pytest.skip("of shared memory it is asked in test_command_move.py")


def killed(target: Callable[..., None], *arguments: Any) -> None:
    """Run it until it kills itself."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    process.close()


def set_aside(queue: Any) -> None:
    queue.put_many(range(COUNT))
    left = COUNT
    while left:
        for lease in queue.lease_many(left, timeout=10):
            lease.reject("no")
            left -= 1


def all_of(queue: Any, count: int) -> Counter[Any]:
    """What is in there, at least so many different ones; what the dead had comes back in a while."""
    found: Counter[Any] = Counter()
    deadline = monotonic() + 60
    while len(found) < count:
        assert monotonic() < deadline, f"{len(found)} of {count}"
        try:
            found.update(queue.get_many(1000, timeout=5))
        except Empty:
            continue
    return found


@pytest.mark.needs("processes")
@pytest.mark.parametrize("when", DEATHS)
def test_what_was_set_aside(make: Callable[..., Any], url: str, when: str) -> None:
    queue = make()
    set_aside(queue)
    killed(programs.retry_and_die, url, 2, when == "before it is put")
    back = 0
    deadline = monotonic() + 60
    while back < COUNT - PORTION:
        assert monotonic() < deadline, f"{back} of {COUNT - PORTION}"
        back += queue.retry_dead()  # what the dead one looked at is there again in a while
    found = all_of(queue, COUNT)
    found.update(rest(queue))
    assert found.keys() == set(range(COUNT))
    assert sum(times - 1 for times in found.values()) == DEATHS[when]
    assert max(found.values()) <= 2
    assert queue.peek_dead(9) == []


@pytest.mark.parametrize("when", DEATHS)
def test_a_handler_that_raises(make: Callable[..., Any], when: str) -> None:
    """As by Ctrl-C: whoever calls it goes on, and does it again."""

    class Torn(BaseException):
        pass

    queue = make()
    set_aside(queue)
    send, turns = queue._send, 0

    def torn(*args: Any) -> None:
        nonlocal turns
        turns += 1
        if turns == 1 or when == "before it is removed":
            send(*args)
        if turns == 2:
            raise Torn

    queue._send = torn
    with pytest.raises(Torn) as error:
        queue.retry_dead()
    assert error.value.items_retried == PORTION  # type: ignore[attr-defined]
    queue._send = send
    assert queue.retry_dead() == COUNT - PORTION
    found = all_of(queue, COUNT)
    found.update(rest(queue))
    assert found == Counter(range(COUNT)) + Counter(range(PORTION, PORTION + DEATHS[when]))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("most", [150, None])
def test_the_connection_is_lost_before_it_is_known_to_be_removed(
    make: Callable[..., Any], transport: Transport, behind: bool, most: int | None
) -> None:
    if transport.scheme == "amqp":
        pytest.skip("what RabbitMQ hands out has no name by which it is known again")
    queue = make()
    set_aside(queue)
    backend = queue._link.backend
    forget, lost = backend.forget, 0

    def lose_one(deliveries: Any) -> None:
        nonlocal lost
        lost += 1
        if behind or lost != 2:
            forget(deliveries)
        if lost == 2:
            raise ConnectionLost("just then")

    backend.forget = lose_one
    wanted = most or COUNT
    assert queue.retry_dead(max_items=most) == wanted
    found = all_of(queue, wanted)
    found.update(rest(queue))
    assert found == Counter(range(wanted))
    assert [letter.item for letter in queue.peek_dead(COUNT)] == list(range(wanted, COUNT))


@pytest.mark.needs("processes")
@pytest.mark.parametrize("when", DEATHS)
def test_what_is_moved(
    make: Callable[..., Any], make_other: Callable[..., Any], url: str, other_url: str, when: str
) -> None:
    source, target = make(), make_other()
    source.put_many(range(COUNT))
    killed(programs.move_and_die, url, other_url, 2, when == "before it is put")
    found = Counter(rest(target))
    assert found == Counter(range(PORTION + DEATHS[when]))
    left = all_of(source, COUNT - PORTION)
    left.update(rest(source))
    assert left == Counter(range(PORTION, COUNT))


def rest(queue: Any) -> list[Any]:
    """What is there still."""
    found: list[Any] = []
    try:
        while True:
            found += queue.get_many(1000, timeout=0.5)
    except Empty:
        return found
