"""What is said of nats:// alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import nats
import pytest

import conveyor
from conveyor import BrokerUnreachable, ItemTooLarge, LeaseLost, NotSupported, ShutDown
from conveyor.transports.nats.names import filter_of, key_of, subject_of
from servers.nats_server import Nats
from servers.registry import shared


class WithoutJetStream(Nats):
    def configure(self) -> None:
        super().configure()
        conf = self.data / "nats.conf"
        conf.write_text("\n".join(line for line in conf.read_text().splitlines() if "jetstream" not in line))

    def is_ready(self) -> bool:
        with self.connect():
            return True


@pytest.fixture
def server() -> Nats:
    server = shared("nats")
    assert isinstance(server, Nats)
    return server


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def url(server: Nats, name: str) -> Iterator[str]:
    url = server.url(name)
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


def api(server: Nats, what: str, arguments: Any = None) -> Any:
    """What JetStream answers to another program."""

    async def ask() -> Any:
        client = await nats.connect(
            f"nats://{server.host}:{server.port}", user=server.user, password=server.password
        )
        answer = await client.request(f"$JS.API.{what}", json.dumps(arguments or {}).encode(), timeout=10)
        await client.close()
        return json.loads(answer.data)

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", ["nats", "nats-old"])
def test_queues_on_a_current_and_on_an_old_server(kind: str, name: str) -> None:
    url = shared(kind).url(name, keep_alive="2")
    queue: Any = conveyor.connect(url, maxsize=500)
    queue.put_many(range(500))
    with pytest.raises(conveyor.Full):
        queue.put_nowait(1)
    with pytest.raises(ZeroDivisionError), queue.lease() as item:
        raise ZeroDivisionError(item)
    again = queue.lease(timeout=10, lease_seconds=0.3)
    assert (again.item, again.attempts) == (0, 1)
    third = queue.lease(timeout=10)
    assert (third.item, queue.qsize()) == (1, 498)
    third.release(delay=0.1)
    got: list[int] = []
    while len(got) < 500:
        got += queue.get_many(100, timeout=10)
    assert sorted(got) == list(range(500))
    with pytest.raises(LeaseLost):
        again.acknowledge()
    queue.put("last")
    queue.lease().reject("bad")
    assert queue.statistics().dead == 1
    queue.shutdown()
    for call in (lambda: queue.put(1), queue.get):
        with pytest.raises(ShutDown):
            call()
    queue.close()
    conveyor.remove(url)


class TestNames:
    NAMES = ("plain-1", "with space", "a.b", "ä*>", "=20=", "==" + "0" * 64, "x" * 200, "/" * 100)

    @pytest.mark.parametrize("odd", NAMES)
    def test_any_name_is_a_queue_of_its_own(self, server: Nats, odd: str) -> None:
        from urllib.parse import quote

        url = server.url(quote(odd, safe=""))
        queue: Any = conveyor.connect(url)
        queue.put(odd)
        assert queue.get(timeout=10) == odd
        queue.close()
        conveyor.remove(url)

    def test_keys_and_subjects_are_one_to_one(self) -> None:
        keys = [None, "a", "a.b", "a..b", "a.", ".a", ".", "ä b.=20=", "=", "a>.\x00"]
        subjects = [subject_of("base", key) for key in keys]
        assert len(set(subjects)) == len(keys)
        assert [key_of("base", subject) for subject in subjects] == keys
        assert not any(set(" *>\x00") & set(subject) for subject in subjects)

    def test_patterns_are_filters(self) -> None:
        assert filter_of("base", ["a.#"]) == "base.a.>"
        assert filter_of("base", ["a.*"]) == "base.a.*.="
        assert filter_of("base", ["a"]) == subject_of("base", "a")
        assert filter_of("base", ["#.a"]) == filter_of("base", ["a", "b"]) == "base.>"


class TestWhatItCannot:
    def test_items_that_the_server_does_not_take(self, url: str) -> None:
        queue: Any = conveyor.connect(url)
        with pytest.raises(ItemTooLarge, match="max_payload"):
            queue.put(b"x" * 2**20)
        queue.put(b"x" * (2**20 - 600))
        assert len(queue.get(timeout=10)) == 2**20 - 600
        queue.close()

    def test_topics_on_an_old_server(self, name: str) -> None:
        with pytest.raises(NotSupported, match=r"2\.10"):
            conveyor.connect(shared("nats-old").url(name), kind="topic")

    def test_without_jetstream(self) -> None:
        server = WithoutJetStream()
        server.start()
        try:
            with pytest.raises(NotSupported, match="JetStream is off"):
                conveyor.connect(server.url("jobs"))
        finally:
            server.kill()

    def test_a_password_is_sent_to_no_server_that_does_not_demand_tls(self, server: Nats, name: str) -> None:
        with pytest.raises(PermissionError, match="TLS"):
            conveyor.connect(server.url(name, tls=True, port=server.port, connect_timeout="2"))


class TestHosts:
    def test_one_that_answers_is_taken(self, server: Nats, name: str) -> None:
        url = server.url(name, host="127.0.0.1:1,127.0.0.1")
        for _ in range(4):  # they are tried in any order
            queue: Any = conveyor.connect(url)
            queue.put(1)
            queue.close()
        conveyor.remove(url)

    def test_none_that_answers(self, server: Nats, name: str) -> None:
        url = server.url(name, host="127.0.0.1:1,127.0.0.1", port=2, connect_timeout="0.5")
        with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1, 127\.0\.0\.1:2"):
            conveyor.connect(url)


class TestOthers:
    def test_what_another_program_has_put(self, server: Nats, url: str, name: str) -> None:
        queue: Any = conveyor.connect(url)

        async def put() -> None:
            client = await nats.connect(
                f"nats://{server.host}:{server.port}", user=server.user, password=server.password
            )
            headers = {"Content-Type": "application/json"}
            await client.jetstream().publish(f"conveyor.queue.{name}", b'{"a": [1]}', headers=headers)
            await client.close()

        asyncio.run(put())
        assert queue.get(timeout=10) == {"a": [1]}
        queue.close()

    def test_nothing_is_left_when_it_is_removed(self, server: Nats, url: str, name: str) -> None:
        queue: Any = conveyor.connect(url)
        queue.put_many([1, 2])
        queue.lease().reject("bad")
        other: Any = conveyor.connect(url)
        conveyor.remove(url)
        for call in (lambda: queue.put(1), lambda: other.get(timeout=10)):
            with pytest.raises(FileNotFoundError):
                call()
        assert not [stream for stream in api(server, "STREAM.NAMES")["streams"] if name in stream]
        other.close()
        queue.close()


class TestBounds:
    def test_producers_in_each_others_way_keep_the_bound_and_their_order(self, url: str) -> None:
        most = 20
        handles: list[Any] = [conveyor.connect(url, maxsize=most) for _ in range(3)]
        reader: Any = conveyor.connect(url)
        got: list[tuple[int, int]] = []
        threads = [
            threading.Thread(target=handles[n].put_many, args=([(n, i) for i in range(300)],))
            for n in range(3)
        ]
        for thread in threads:
            thread.start()
        while len(got) < 900:
            assert reader.qsize() <= most
            got += reader.get_many(7, timeout=30)
        for thread in threads:
            thread.join(30)
        for n in range(3):
            assert [i for who, i in got if who == n] == list(range(300))
        for handle in (*handles, reader):
            handle.close()


class TestSentAhead:
    def test_what_was_sent_ahead_is_given_back(self, url: str) -> None:
        queue, other = conveyor.connect(url), conveyor.connect(url)
        queue.put_many(range(1000))
        got = [queue.get(timeout=10) for _ in range(300)]
        rest: list[Any] = []
        began = time.monotonic()
        while len(rest) < 700:
            rest += other.get_many(1000, timeout=10)
        assert time.monotonic() - began < 5
        assert sorted(got + rest) == list(range(1000))
        assert queue.empty()
        queue.close()
        other.close()

    def test_at_the_end_it_is_given_back_at_once(self, url: str) -> None:
        queue, other = conveyor.connect(url), conveyor.connect(url)
        queue.put_many(range(1000))
        got = [queue.get(timeout=10) for _ in range(300)]
        queue.close()
        assert other.qsize() + other.statistics().leased == 700  # type: ignore[attr-defined]
        while len(got) < 1000:
            got += other.get_many(1000, timeout=10)
        assert sorted(got) == list(range(1000))
        other.close()


class TestTopics:
    def test_keep(self, url: str) -> None:
        topic: Any = conveyor.connect(url, kind="topic", keep=80)
        with topic.subscribe() as slow:
            for number in range(100):
                topic.publish(number)
            assert topic.statistics().kept == 100  # not all have read them
            for _ in range(100):
                slow.get(timeout=10)
        topic.publish_many(range(100, 200))
        assert 80 <= topic.statistics().kept <= 90
        with topic.subscribe(from_="oldest") as late:
            first = late.get(timeout=10)
            assert first == 200 - topic.statistics().kept
        topic.close()

    def test_a_subscription_that_died_holds_up_nobody(self, server: Nats, name: str) -> None:
        url = server.url(name, keep_alive="1")
        topic: Any = conveyor.connect(url, kind="topic", max_bytes=2**16)
        dead = topic.subscribe()
        backend = topic._link.backend
        backend._cursors.clear()  # it beats no more
        for _ in range(40):
            topic.publish(b"x" * 4000, timeout=30)
        assert topic.statistics().kept <= 16
        dead.close()
        topic.close()
        conveyor.remove(url + "&kind=topic")
