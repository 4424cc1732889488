"""How lost connections are healed: the base's part, on a transport that loses them when a test wants it to.

That real brokers' connections are healed is shown with real brokers, in their own tests.
"""

from __future__ import annotations

import asyncio
import queue as standard
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

import conveyor
from conveyor import BrokerUnreachable
from conveyor.transports import memory, registry
from conveyor.transports.link import Link
from conveyor.transports.port import Capabilities, ConnectionLost, Delivery, Message
from conveyor.transports.registry import Row
from conveyor.transports.url import Shape, Url


@dataclass
class Plan:
    """What goes wrong."""

    down: bool = False
    refuses: bool = False
    lose_before: set[str] = field(default_factory=set)
    """Methods whose next call is lost on its way to the broker."""
    lose_after: set[str] = field(default_factory=set)
    """Methods whose next call arrives, and whose answer is lost."""
    opened: int = 0
    attempts: int = 0


PLAN = Plan()


class Flaky(memory.MemoryBackend):
    capabilities = Capabilities(ends_leases=True, sees_end=False, slice_seconds=0.2)

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self.seen: set[str] = set()

    def open(self, wait: float) -> None:
        PLAN.attempts += 1
        if PLAN.refuses:
            raise PermissionError("who are you?")
        if PLAN.down:
            raise ConnectionLost("connection refused")
        PLAN.opened += 1
        super().open(wait)

    def _fails(self, name: str, call: Any) -> Any:
        if PLAN.down or name in PLAN.lose_before:
            PLAN.lose_before.discard(name)
            raise ConnectionLost(f"lost before {name}")
        result = call()
        if name in PLAN.lose_after:
            PLAN.lose_after.discard(name)
            raise ConnectionLost(f"lost after {name}")
        return result

    def send(self, messages: Any, wait: float) -> int:
        def send() -> int:
            # As brokers do that tell a repeated message by its id.
            fresh = [message for message in messages if message.id not in self.seen]
            done = super(Flaky, self).send(fresh, wait) if fresh else 0
            self.seen.update(message.id for message in fresh[:done])
            return done + len(messages) - len(fresh)

        result: int = self._fails("send", send)
        return result

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        return self._fails("lease", lambda: super(Flaky, self).lease(most, wait, seconds))  # type: ignore[no-any-return]

    def take(self, most: int, wait: float) -> list[Delivery]:
        deliveries = self.lease(most, wait, None)
        if deliveries:
            self.acknowledge(deliveries)
        return deliveries

    def acknowledge(self, deliveries: Any) -> Any:
        return self._fails("acknowledge", lambda: super(Flaky, self).acknowledge(deliveries))

    def depth(self) -> Any:
        return self._fails("depth", super().depth)

    def member(self) -> str | None:
        return None


def until(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class FlakyRow(Row):
        __slots__ = ()

        def load(self, scheme: str) -> Any:
            return SimpleNamespace(SHAPE=Shape("flaky://user:password@host/name"), queue=Flaky)

    global PLAN
    PLAN = Plan()
    monkeypatch.setitem(registry.ROWS, "flaky", FlakyRow("flaky", ("queue",)))
    return f"flaky://me:secret@broker.example:99/{uuid.uuid4().hex}?connect_timeout=0.6&reconnect_timeout=1.5"


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
def test_a_put_is_neither_lost_nor_doubled(url: str, when: str) -> None:
    queue = conveyor.connect(url)
    queue.put(0)
    for number in range(1, 4):
        getattr(PLAN, when).add("send")
        queue.put(number, timeout=10)
    getattr(PLAN, when).add("send")
    queue.put_many(range(4, 9))
    assert queue.get_many(100) == list(range(9))
    assert queue.statistics().reconnects == 4  # type: ignore[attr-defined]


def test_a_get_is_healed(url: str) -> None:
    queue = conveyor.connect(url)
    queue.put_many(range(4))
    for number in range(4):
        PLAN.lose_before.add("lease")
        assert queue.get(timeout=10) == number
    PLAN.lose_before.add("depth")
    assert queue.qsize() == 0


def test_a_lease_is_held_while_the_broker_is_away(url: str) -> None:
    queue = conveyor.connect(url)
    queue.put("a")
    lease = queue.lease(timeout=10)
    PLAN.down = True
    with pytest.raises(BrokerUnreachable):
        lease.acknowledge()
    PLAN.down = False
    lease.acknowledge()
    with pytest.raises(standard.Empty):
        queue.get_nowait()


def test_unreachable_says_what_was_tried_and_no_secret(url: str) -> None:
    PLAN.down = True
    start = time.monotonic()
    with pytest.raises(BrokerUnreachable) as error:
        conveyor.connect(url)
    assert 0.1 < time.monotonic() - start < 3
    text = str(error.value)
    for part in ("attempts", "broker.example:99", "connection refused", "me:***@"):
        assert part in text
    assert "secret" not in text
    assert isinstance(error.value, ConnectionError)


def test_the_calls_timeout_bounds_it(url: str) -> None:
    queue = conveyor.connect(url)
    PLAN.down = True
    for call in (lambda: queue.put(1, timeout=0.5), lambda: queue.get(timeout=0.5), queue.get_nowait):
        start = time.monotonic()
        with pytest.raises(BrokerUnreachable):
            call()
        assert time.monotonic() - start < 1.2
    start = time.monotonic()
    with pytest.raises(BrokerUnreachable):
        queue.get()  # without one, the URL's reconnect_timeout
    assert 1 < time.monotonic() - start < 5
    PLAN.down = False
    queue.put(2)
    assert queue.get() == 2


def test_the_pauses_grow_and_differ(url: str) -> None:
    PLAN.down = True
    with pytest.raises(BrokerUnreachable):
        conveyor.connect(url)
    assert 3 <= PLAN.attempts <= 12


def test_a_wrong_password_is_not_tried_again(url: str) -> None:
    PLAN.refuses = True
    with pytest.raises(PermissionError, match="who are you"):
        conveyor.connect(url)
    assert PLAN.attempts == 1


def test_a_connection_that_is_lost_again_at_once_is_not_made_for_ever(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = conveyor.connect(url)

    def lose(self: Flaky, messages: list[Message], wait: float) -> int:
        raise ConnectionLost("again")

    monkeypatch.setattr(Flaky, "send", lose)
    before = PLAN.opened
    for put in (lambda: queue.put(1, timeout=0.5), lambda: queue.put(1)):
        with pytest.raises(BrokerUnreachable, match="again"):
            put()
    assert PLAN.opened - before < 40


def test_of_many_threads_one_connects(url: str) -> None:
    queue = conveyor.connect(url)
    before = PLAN.opened
    PLAN.down = True
    threads = [threading.Thread(target=queue.put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    PLAN.down = False
    for thread in threads:
        thread.join(30)
    assert sorted(queue.get_many(100)) == list(range(8))
    assert PLAN.opened - before == 1


def test_a_thread_that_seeks_holds_up_no_other(url: str) -> None:
    queue = conveyor.connect(url)
    PLAN.down = True
    patient = threading.Thread(target=queue.put, args=("patient",))
    patient.start()
    for _ in range(2):  # while the other is between two attempts, most of the time
        start = time.monotonic()
        with pytest.raises(BrokerUnreachable, match=r"connection refused|lost before"):
            queue.put(1, timeout=0.3)
        assert time.monotonic() - start < 1
    PLAN.down = False
    patient.join(30)
    assert queue.get_many(10) == ["patient"]


def test_coroutines_are_healed(url: str) -> None:
    queue = conveyor.connect(url)

    async def main() -> None:
        for number in range(5):
            PLAN.lose_after.add("send")
            await queue.aput(number)
            PLAN.lose_before.add("lease")
            assert await queue.aget(timeout=10) == number
        PLAN.down = True
        for call in (lambda: queue.aput(1, timeout=0.3), lambda: queue.aget(timeout=0.3)):
            start = time.monotonic()
            with pytest.raises(BrokerUnreachable):
                await call()
            assert time.monotonic() - start < 1
        # Without a timeout of its own, it waits for the broker as long as the URL says.
        getter = asyncio.create_task(queue.aget())
        putter = asyncio.create_task(queue.aput("at last"))
        await asyncio.sleep(1)
        PLAN.down = False
        await putter
        assert await getter == "at last"
        PLAN.down = True
        for call in (queue.aget, lambda: queue.aput(1)):
            start = time.monotonic()
            with pytest.raises(BrokerUnreachable):
                await call()
            assert time.monotonic() - start > 1

    asyncio.run(main())


def test_a_message_has_the_same_id_when_it_is_sent_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    send = Flaky.send

    def note(self: Flaky, messages: list[Message], wait: float) -> int:
        ids.extend(message.id for message in messages)
        return send(self, messages, wait)

    monkeypatch.setattr(Flaky, "send", note)
    queue = conveyor.connect(url)
    PLAN.lose_before.add("send")
    queue.put(1)
    queue.put(2)
    assert len(ids) == 3
    assert ids[0] == ids[1] != ids[2]


def same(item: Any) -> Any:
    return item


class Slow:
    """A connection that takes as long to be made as the test likes."""

    def __init__(self) -> None:
        self.connecting, self.may_connect = threading.Event(), threading.Event()
        self.stands = False

    def open(self, wait: float) -> None:
        self.connecting.set()
        assert self.may_connect.wait(30)
        self.stands = True

    def close(self) -> None:
        self.stands = False


def test_closed_while_it_connects(url: str) -> None:
    """Nobody else would close the connection that stands then."""
    made = Slow()
    link: Any = Link(registry.url_of(url), lambda: made, lambda _: None)
    failed: list[BaseException] = []

    def connect() -> None:
        try:
            link.open()
        except ValueError as error:
            failed.append(error)

    connecting = threading.Thread(target=connect)
    connecting.start()
    assert made.connecting.wait(30)
    link.close()
    made.may_connect.set()
    connecting.join(30)
    assert not made.stands
    assert "is closed in this process" in str(failed[0])


class TestPipelines:
    def test_a_broker_that_is_away_for_a_while(self, url: str) -> None:
        """Longer than a look at the queue takes, and not as long as a consumer would wait."""
        queue: Any = conveyor.connect(url.replace("reconnect_timeout=1.5", "reconnect_timeout=30"))
        done: list[int] = []

        def collect(number: int) -> None:
            done.append(number)

        run = threading.Thread(
            target=lambda: conveyor.Pipeline(queue).map(same, threads=1).to(collect).run(signals=False)
        )
        queue.put(1)
        run.start()
        until(lambda: done == [1])
        attempts = PLAN.attempts
        PLAN.down = True
        until(lambda: PLAN.attempts >= attempts + 3)
        PLAN.down = False
        queue.put(2)
        queue.shutdown()
        run.join(30)
        assert not run.is_alive()
        assert done == [1, 2]
        queue.close()

    def test_a_broker_that_stays_away_ends_the_run(self, url: str) -> None:
        queue: Any = conveyor.connect(url)
        queue.put(1)

        def go_away(item: Any) -> Any:
            PLAN.down = True
            return item

        with pytest.raises(BrokerUnreachable):
            conveyor.Pipeline(queue).map(go_away, threads=1).run()
        PLAN.down = False
        queue.close()
