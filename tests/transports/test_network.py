"""What every transport over a network does when the network or the server fails: nothing is lost in silence."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diary import Diary
from transport import TRANSPORTS, Transport

import conveyor
from conveyor import BrokerUnreachable, Empty
from conveyor.transports.control import Control
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
        with pytest.MonkeyPatch.context() as patch:
            # A get asks now and then whether the queue is paused; the answer that is to be lost here is the get's.
            patch.setattr(Control, "is_held", lambda *_: False)
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


PRODUCERS, CONSUMERS = 3, 3


def produce(url: str, path: Path, over: Any) -> None:
    """Put until it is over."""
    diary = Diary(path)
    queue: Any = conveyor.connect(url)
    diary.write("ready")
    number = 0
    while not over.is_set():
        item = f"{os.getpid()}:{number}"
        queue.put(item, timeout=60)
        diary.write("put", item)
        number += 1
        time.sleep(0.005)  # the load, not a wait: consumers take longer


def consume(url: str, path: Path, leases: bool) -> None:
    """Take until the queue ends."""
    diary = Diary(path)
    queue: Any = conveyor.connect(url)
    diary.write("ready")
    item = ""
    while True:
        try:
            if leases:
                with queue.lease() as item:
                    pass
            else:
                item = queue.get()
        except conveyor.ShutDown:
            return
        except conveyor.LeaseLost:
            # It was worked on, and perhaps by somebody else as well.
            diary.write("in-doubt", item)
            continue
        diary.write("seen", item)


def storm(url: str, folder: Path, kind: type[Transport], faults: Callable[[], bool]) -> None:
    """Three processes put and three take while `faults` is called until it says no; nothing may be lost."""
    diary = Diary(folder / "diary")
    context = multiprocessing.get_context("fork")
    over = context.Event()
    producers = [context.Process(target=produce, args=(url, diary.path, over)) for _ in range(PRODUCERS)]
    consumers = [context.Process(target=consume, args=(url, diary.path, n > 0)) for n in range(CONSUMERS)]
    for process in (*producers, *consumers):
        process.daemon = True
        process.start()
    until(
        lambda: sum(deed == "ready" for _, deed, _ in diary.lines()) == PRODUCERS + CONSUMERS,
        "all are connected",
    )
    while faults() and all(process.is_alive() for process in (*producers, *consumers)):
        pass
    over.set()
    for process in producers:
        process.join(60)
        assert process.exitcode == 0
    control: Any = conveyor.connect(url)
    control.shutdown()
    for process in consumers:
        process.join(60)
        assert process.exitcode == 0
    # What a connection had that was cut just then came back after the end.
    with contextlib.suppress(conveyor.ShutDown):
        while True:
            diary.write("seen", control.get(timeout=5))
    control.close()
    diary.close()
    deeds: dict[str, Counter[str]] = defaultdict(Counter)
    for _, deed, item in diary.lines():
        deeds[deed][item] += 1
    lost = deeds["put"].keys() - deeds["seen"].keys() - deeds["in-doubt"].keys()
    assert deeds["put"]
    assert not lost, f"{len(lost)} of {len(deeds['put'])} lost"
    if kind.exactly_once:
        assert set(deeds["seen"].values()) == {1}


class TestStorm:
    def test_connections_are_cut(
        self, server: Server, proxy: Proxy, name: str, kind: type[Transport], tmp_path: Path
    ) -> None:
        """They are cut or ended in one direction, and what passes comes late now and then."""
        chance = random.Random(5)
        left = 200

        def fail() -> bool:
            nonlocal left
            time.sleep(chance.uniform(0.001, kind.calm))
            if chance.random() < 0.1:
                proxy.delay(chance.choice((0.0, 0.002)))
            if chance.random() < 0.2:
                left -= proxy.half_close(chance.choice(("to_client", "to_server")))
            else:
                left -= proxy.cut()
            return left > 0

        storm(server.url(name, port=proxy.port, **kind.options), tmp_path, kind, fail)

    def test_the_server_is_killed(self, kind: type[Transport], tmp_path: Path) -> None:
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

            storm(server.url("jobs", **kind.options), tmp_path, kind, kill)
        finally:
            server.kill()
