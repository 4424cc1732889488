"""What every transport over a network does when the network or the server fails: nothing is lost in silence."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from transport import TRANSPORTS, Transport

import conveyor
from conveyor import BrokerUnreachable, Empty
from servers.proxy import Proxy
from servers.registry import make as make_server
from servers.registry import shared
from servers.server import Server

NETWORKED = sorted(kind for kind, transport in TRANSPORTS.items() if transport.server is not None)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.002)


class Calling(threading.Thread):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._outcome: tuple[Any, BaseException | None] = (None, None)
        self.start()

    def run(self) -> None:
        try:
            self._outcome = self._call(), None
        except BaseException as error:
            self._outcome = None, error

    def result(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        if self._outcome[1] is not None:
            raise self._outcome[1]
        return self._outcome[0]


@pytest.fixture(params=NETWORKED)
def kind(request: pytest.FixtureRequest) -> type[Transport]:
    return TRANSPORTS[request.param]


@pytest.fixture
def server(kind: type[Transport]) -> Server:
    assert kind.server is not None
    kind().start()
    return shared(kind.server)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with server.proxy() as proxy:
        yield proxy


@pytest.fixture
def name(server: Server, kind: type[Transport]) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(server.url(name, **kind.options))


class TestSecurity:
    def test_a_wrong_password(self, server: Server, name: str) -> None:
        start = time.monotonic()
        with pytest.raises(PermissionError) as refused:
            conveyor.connect(server.url(name, password="guessed"))
        assert time.monotonic() - start < 5
        assert "guessed" not in str(refused.value)

    def test_tls(self, server: Server, name: str, kind: type[Transport]) -> None:
        url = server.url(name, tls=True, host="localhost", **kind.tls_options(server))
        queue: Any = conveyor.connect(url)
        queue.put("secret")
        assert queue.get(timeout=10) == "secret"
        queue.close()

    def test_tls_of_a_server_that_nobody_vouches_for(self, server: Server, name: str) -> None:
        with pytest.raises((PermissionError, BrokerUnreachable)):
            conveyor.connect(server.url(name, tls=True, host="localhost", connect_timeout="2"))


class TestTheAnswerIsLost:
    """The server has done it, and the connection breaks before the answer comes: the call is repeated, not the deed."""

    @pytest.fixture
    def queue(
        self, server: Server, proxy: Proxy, name: str, kind: type[Transport], request: pytest.FixtureRequest
    ) -> Iterator[Any]:
        puts = request.node.name.partition("[")[0] in ("test_of_put", "test_of_publish")
        if not (kind.puts_once if puts else kind.exactly_once):
            pytest.skip(f"{kind.scheme}:// cannot tell: see docs/transports.md")
        queue: Any = conveyor.connect(server.url(name, port=proxy.port, **kind.options))
        yield queue
        queue.close()

    @pytest.fixture
    def direct(self, queue: Any, server: Server, name: str, kind: type[Transport]) -> Iterator[Any]:
        direct: Any = conveyor.connect(server.url(name, **kind.options), create=False)
        yield direct
        direct.close()

    def lose(self, proxy: Proxy, call: Callable[[], Any], done: Callable[[], bool]) -> Any:
        proxy.hold("to_client")
        calling = Calling(call)
        until(done, "the server has done it")
        proxy.cut()
        proxy.release("to_client")
        return calling.result()

    def test_of_put(self, queue: Any, direct: Any, proxy: Proxy) -> None:
        queue.put("warm")
        self.lose(proxy, lambda: queue.put("once"), lambda: direct.qsize() == 2)
        self.lose(proxy, lambda: queue.put_many("abc"), lambda: direct.qsize() == 5)
        assert direct.get_many(100, timeout=10) == ["warm", "once", "a", "b", "c"]

    def test_of_get(self, queue: Any, direct: Any, proxy: Proxy) -> None:
        queue.put_many(range(5))
        assert self.lose(proxy, lambda: queue.get(timeout=20), lambda: direct.qsize() == 4) == 0
        assert self.lose(proxy, lambda: queue.get_many(3, timeout=20), lambda: direct.qsize() == 1) == [
            1,
            2,
            3,
        ]
        assert queue.get(timeout=10) == 4

    def test_of_a_get_that_gave_up(self, queue: Any, direct: Any, proxy: Proxy) -> None:
        queue.put_many(range(5))

        def give_up() -> None:
            proxy.refuse()
            with pytest.raises(BrokerUnreachable):
                queue.get_many(3, timeout=1)
            proxy.accept()
            assert [queue.get(timeout=10) for _ in range(5)] == [0, 1, 2, 3, 4]

        self.lose(proxy, give_up, lambda: direct.qsize() == 2)

    @pytest.mark.parametrize("how", ["acknowledge", "release", "reject"])
    def test_of_settling(self, queue: Any, direct: Any, proxy: Proxy, how: str) -> None:
        queue.put_many(["warm", "a"])
        queue.lease(timeout=10).acknowledge()
        lease = queue.lease(timeout=10)
        call = getattr(lease, how)
        if how == "release":  # which reads the record before

            def call() -> None:
                lost = queue._call(lambda backend: backend.release([lease.delivery], 0.0, True, "no"))
                assert not lost

        self.lose(proxy, call, lambda: direct.statistics().leased == 0)
        assert direct.qsize() == (how == "release")
        if how == "release":
            again = direct.lease(timeout=10)
            assert (again.item, again.attempts) == ("a", 1)
            again.acknowledge()

    def test_of_publish(
        self, server: Server, proxy: Proxy, name: str, kind: type[Transport], queue: Any
    ) -> None:
        conveyor.remove(server.url(name, **kind.options))
        through: Any = conveyor.connect(server.url(name, port=proxy.port, **kind.options), kind="topic")
        direct: Any = conveyor.connect(server.url(name, **kind.options), kind="topic")
        with direct.subscribe() as subscription:
            through.publish(0)
            self.lose(proxy, lambda: through.publish(1), lambda: direct.statistics().published == 2)
            through.publish(2)
            assert [subscription.get(timeout=10) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(Empty):
                subscription.get(timeout=0.2)
        through.close()
        direct.close()


class Ledger:
    """What was put, and what was seen: by all threads."""

    def __init__(self) -> None:
        self.put: set[tuple[int, int]] = set()
        self.seen: Counter[tuple[int, int]] = Counter()
        self.in_doubt: set[tuple[int, int]] = set()
        self.lock = threading.Lock()
        self.is_over = False

    def produce(self, queue: Any, who: int) -> None:
        number = 0
        while not self.is_over:
            queue.put((who, number), timeout=60)
            self.put.add((who, number))
            number += 1

    def consume(self, queue: Any, leased: bool) -> None:
        worked = (0, 0)
        while True:
            try:
                if leased:
                    with queue.lease(timeout=60) as item:
                        worked = item
                else:
                    item = queue.get(timeout=60)
            except conveyor.ShutDown:
                return
            except conveyor.LeaseLost:
                # It was worked on, and perhaps by somebody else as well.
                self.in_doubt.add(worked)
                continue
            with self.lock:
                self.seen[item] += 1


def storm(url: str, faults: Callable[[], bool]) -> Ledger:
    """Two producers and three consumers, each with a handle of its own; `faults` is called until it says no."""
    ledger = Ledger()
    control: Any = conveyor.connect(url)
    handles: list[Any] = [conveyor.connect(url) for _ in range(5)]
    producers = [Calling(lambda n=n: ledger.produce(handles[n], n)) for n in range(2)]  # type: ignore[misc]
    consumers = [Calling(lambda n=n: ledger.consume(handles[n], n > 2)) for n in range(2, 5)]  # type: ignore[misc]
    while faults() and all(calling.is_alive() for calling in (*producers, *consumers)):
        pass
    ledger.is_over = True
    for producer in producers:
        producer.result()
    control.shutdown()
    for consumer in consumers:
        consumer.result()
    # What a connection had that was cut just then came back after the end.
    with contextlib.suppress(conveyor.ShutDown):
        while True:
            ledger.seen[control.get(timeout=5)] += 1
    for handle in (control, *handles):
        handle.close()
    return ledger


class TestStorm:
    def test_connections_are_cut(
        self, server: Server, proxy: Proxy, name: str, kind: type[Transport]
    ) -> None:
        chance = random.Random(5)
        left = 200

        def cut() -> bool:
            nonlocal left
            time.sleep(chance.uniform(0.001, kind.calm))
            left -= proxy.cut()
            return left > 0

        ledger = storm(server.url(name, port=proxy.port, **kind.options), cut)
        assert ledger.put
        assert {*ledger.seen, *ledger.in_doubt} >= ledger.put, "lost"
        if kind.exactly_once:
            assert set(ledger.seen.values()) == {1}

    def test_the_server_is_killed(self, kind: type[Transport]) -> None:
        assert kind.server is not None
        server = make_server(kind.server)
        server.start()
        left = kind.kills
        try:

            def kill() -> bool:
                nonlocal left
                time.sleep(kind.survives_after)
                server.kill()
                server.start()
                left -= 1
                return left > 0

            ledger = storm(server.url("jobs", **kind.options), kill)
        finally:
            server.kill()
        assert ledger.put
        assert {*ledger.seen, *ledger.in_doubt} >= ledger.put, "lost"
        if kind.exactly_once:
            assert set(ledger.seen.values()) == {1}
