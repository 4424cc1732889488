"""What is said of kafka:// alone."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import programs
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

import conveyor
from conveyor import NotSupported, ShutDown
from conveyor.transports.kafka import administration as kafka_administration
from conveyor.transports.kafka.administration import Administration
from conveyor.transports.kafka.client import Client
from conveyor.transports.kafka.record_log import RecordLog
from conveyor.transports.kafka.settings import shared_settings
from conveyor.transports.port import ConnectionLost
from servers.kafka_server import Kafka
from servers.registry import shared


@pytest.fixture
def server() -> Kafka:
    server = shared("kafka")
    if not isinstance(server, Kafka):
        pytest.skip("librdkafka's mock has no administration")
    return server


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def url(server: Kafka, name: str) -> Iterator[str]:
    url = server.url(name)
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


@pytest.fixture
def admin(server: Kafka) -> Iterator[Any]:
    """Of another program."""
    with AdminClient({"bootstrap.servers": server.bootstrap}) as admin:
        yield admin


def other(url: str, number: int = 1) -> str:
    """The same queue by a URL that another member of the group has."""
    return f"{url}?connect_timeout={10 + number}"


class TestWhatItCannot:
    def test_share_groups(self, url: str) -> None:
        with pytest.raises(NotSupported, match=r"mode=share.*partitions="):
            conveyor.connect(f"{url}?mode=share")
        with pytest.raises(FileNotFoundError):
            conveyor.connect(url, create=False)  # nothing was made
        queue: Any = conveyor.connect(f"{url}?mode=group")
        queue.put(1)
        assert queue.get(timeout=10) == 1
        queue.close()

    def test_names(self, server: Kafka) -> None:
        with pytest.raises(ValueError, match="letters, digits"):
            conveyor.connect(server.url("a b"))

    def test_numbers_of_several_partitions(self, url: str) -> None:
        with pytest.raises(NotSupported, match="keep"):
            conveyor.connect(url, kind="topic", keep=3)
        topic: Any = conveyor.connect(f"{url}?partitions=2", kind="topic")
        with pytest.raises(NotSupported, match="partitions=1"):
            topic.subscribe(from_=3)
        topic.close()

    def test_a_second_group(self, url: str) -> None:
        queue: Any = conveyor.connect(url)
        with pytest.raises(ValueError, match="group is 'mine'"):
            conveyor.connect(f"{url}?group=mine")
        queue.close()


class TestWindow:
    def test_a_slow_item_holds_up_4000_others_and_no_more(self, url: str) -> None:
        queue: Any = conveyor.connect(url)
        queue.put_many(range(4010))
        slow = queue.lease(timeout=30)
        got: list[int] = []
        while len(got) < 3999:
            got += queue.get_many(5000, timeout=30)
        assert got == list(range(1, 4000))
        with pytest.raises(conveyor.Empty):
            queue.get(timeout=0.1)
        assert queue.qsize() == 10
        slow.acknowledge()
        assert queue.get_many(100, timeout=30) == list(range(4000, 4010))
        queue.close()

    def test_who_comes_next_gets_what_was_leased_and_not_what_was_settled(self, url: str) -> None:
        queue: Any = conveyor.connect(url)
        queue.put_many(range(8))
        told: Any = conveyor.Queue()
        process = multiprocessing.get_context("spawn").Process(target=programs.hold_some, args=(url, told))
        process.start()
        assert told.get(timeout=60) == (0, [1, 2, 3])
        assert queue.statistics().leased == 1
        assert queue.qsize() == 4
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
        again = queue.lease(timeout=60)
        assert (again.item, again.attempts) == (0, 1)
        assert queue.get_many(100, timeout=30) == [4, 5, 6, 7]
        again.acknowledge()
        queue.close()


class TestMembers:
    def test_several_share_the_partitions(self, url: str) -> None:
        first: Any = conveyor.connect(f"{url}?partitions=4")
        queues = [first, *(conveyor.connect(other(url, number)) for number in range(3))]
        got: list[list[int]] = [[] for _ in queues]
        threads = [
            threading.Thread(target=lambda n=n, queue=queue: got[n].extend(queue))  # type: ignore[misc]
            for n, queue in enumerate(queues)
        ]
        with first.producing():
            for thread in threads:
                thread.start()
            for number in range(2000):
                first.put(number)
        for thread in threads:
            thread.join(60)
        assert sorted(sum(got, [])) == list(range(2000))  # noqa: RUF017
        assert sum(bool(some) for some in got) > 1
        for queue in queues:
            queue.close()

    def test_who_is_idle_leaves_what_waits_to_others(self, url: str) -> None:
        first: Any = conveyor.connect(url)
        second: Any = conveyor.connect(other(url))
        first.put_many([1, 2, 3])
        assert first.get(timeout=10) == 1
        assert second.get(timeout=10) == 2
        assert first.get(timeout=10) == 3
        first.close()
        second.close()

    def test_who_could_not_be_told_where_its_partition_begins_joins_again(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client takes an assignment that was not answered for one: its items would come to nobody."""
        queue: Any = conveyor.connect(url)
        queue.put("item")
        committed = Client.committed
        refused: list[bool] = []

        def refuse_once(self: Client, partitions: Any) -> Any:
            if threading.current_thread().name == "conveyor-kafka-group" and not refused:
                refused.append(True)
                raise OSError("not this time")
            return committed(self, partitions)

        monkeypatch.setattr(Client, "committed", refuse_once)
        with pytest.raises(OSError, match="not this time"):
            queue.get(timeout=30)
        assert queue.get(timeout=30) == "item"
        queue.close()


class TestAdministration:
    def test_who_goes_on_with_a_new_client_leaves_others_their_answers(
        self, server: Kafka, url: str, name: str
    ) -> None:
        direct: Any = conveyor.connect(url)
        direct.put(1)
        with server.proxy() as proxy:
            queue: Any = conveyor.connect(server.url(name, port=proxy.port))
            assert queue.qsize() == 1
            administration: Administration = queue._link.backend._client._administration
            topic, asked = ConfigResource("topic", name), threading.Event()
            found: list[Any] = []

            def ask(admin: Any) -> Any:
                futures = admin.describe_configs([topic], request_timeout=60)
                asked.set()
                return futures

            def fail(admin: Any) -> Any:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

            administration.ask(ask)
            asked.clear()
            proxy.hold("to_client")
            waiting = threading.Thread(target=lambda: found.append(administration.ask(ask)), daemon=True)
            waiting.start()
            assert asked.wait(30)
            with pytest.raises(ConnectionLost):
                administration.ask(fail)
            proxy.release("to_client")
            waiting.join(10)  # a client's answer that went with it is waited for twice as long
            assert [answer["retention.ms"].value for answers in found for answer in answers.values()] == [
                "-1"
            ]
            assert queue.qsize() == 1
            queue.close()
        direct.close()

    def test_it_never_looks_for_leaders(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """In librdkafka that is done in two threads at a time, and the process may die of it."""
        text = io.StringIO()
        logger = logging.Logger("librdkafka")
        logger.addHandler(logging.StreamHandler(text))

        def settings(url: Any) -> dict[str, Any]:
            return {**shared_settings(url), "debug": "metadata", "log_level": 7, "logger": logger}

        monkeypatch.setattr(kafka_administration, "shared_settings", settings)
        queue: Any = conveyor.connect(url)
        queue.put_many(range(10))
        assert queue.qsize() == 10
        assert queue.get(timeout=30) == 0
        queue._link.backend.purge()
        assert queue.qsize() == 0
        admin = queue._link.backend._client._administration._current()
        deadline = time.monotonic() + 30
        asked = "Request metadata for 1 topic(s): application requested"
        while asked not in text.getvalue() or admin.poll(0.1):
            assert "query partition leaders" not in text.getvalue()
            assert time.monotonic() < deadline, text.getvalue()
            admin.poll(0.1)
        queue.close()


class TestRecord:
    def test_a_handler_that_raises_takes_no_change_away(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The change has left the client, and was not looked at."""
        queue: Any = conveyor.connect(url)
        mine: Any = conveyor.connect(other(url))
        apply = RecordLog._apply
        torn: list[bool] = []

        class Torn(Exception):
            pass

        def tear_once(self: RecordLog, message: Any) -> None:
            if not torn:
                torn.append(True)
                raise Torn
            apply(self, message)

        queue.pause()
        with monkeypatch.context() as patch:
            patch.setattr(RecordLog, "_apply", tear_once)
            with pytest.raises(Torn):
                mine.is_paused  # noqa: B018
        assert mine.is_paused
        queue.shutdown()
        assert mine.is_shutdown
        queue.close()
        mine.close()

    def test_a_handler_that_reads_within_a_read(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signal comes while a change is looked at, and its handler makes another one, and looks as well."""
        queue: Any = conveyor.connect(url)
        mine: Any = conveyor.connect(other(url))
        apply = RecordLog._apply
        interrupts: list[bool] = []
        seen: list[bool] = []

        def handler(*_: object) -> None:
            queue.shutdown()
            seen.append(mine.is_shutdown)

        def interrupted(self: RecordLog, message: Any) -> None:
            if not interrupts and self is mine._link.backend._client.log:
                interrupts.append(True)
                signal.raise_signal(signal.SIGUSR1)
            apply(self, message)

        queue.pause()
        monkeypatch.setattr(RecordLog, "_apply", interrupted)
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            assert mine.is_paused
            assert seen == [True]
            assert mine.is_shutdown
        finally:
            signal.signal(signal.SIGUSR1, before)
        queue.close()
        mine.close()


class TestEnd:
    def test_all_that_was_put_before_is_taken_and_nothing_else(self, url: str) -> None:
        """While others put as fast as they can: a put either returns, and its item is taken, or it raises."""
        first: Any = conveyor.connect(url)
        putters = [conveyor.connect(other(url, number)) for number in range(3)]
        put: list[list[int]] = [[] for _ in putters]

        def hammer(number: int, queue: Any) -> None:
            with contextlib.suppress(ShutDown):
                for each in range(100_000):
                    queue.put((number, each))
                    put[number].append(each)

        threads = [threading.Thread(target=hammer, args=each) for each in enumerate(putters)]
        for thread in threads:
            thread.start()
        got = [first.get(timeout=30) for _ in range(100)]
        first.shutdown()
        for thread in threads:
            thread.join(60)
        got += list(first)
        assert sorted(got) == [(number, each) for number, some in enumerate(put) for each in some]
        for queue in (first, *putters):
            queue.close()  # type: ignore[attr-defined]

    @pytest.mark.parametrize("between", [[], ["between"]])
    def test_of_several_ends_the_one_counts_that_the_record_knows(
        self, url: str, monkeypatch: pytest.MonkeyPatch, between: list[str]
    ) -> None:
        """Two processes make one at a time, or one dies before it can say so: the other end is no item, and no end."""
        queue: Any = conveyor.connect(url)
        put_ends = Client._put_ends

        def put_twice(self: Client) -> dict[int, int]:
            put_ends(self)
            for item in between:
                queue.put(item)
            return put_ends(self)

        consumer: Any = conveyor.connect(other(url))
        queue.put_many(range(3))
        got: list[Any] = [consumer.get(timeout=20) for _ in range(3)]  # and that is committed
        with monkeypatch.context() as patch:
            patch.setattr(Client, "_put_ends", put_twice)
            patch.setattr(RecordLog, "read_ends", lambda _: (False, None))  # of those who are not the ones
            queue._link.backend._client.log.write_ends(queue._link.backend._client._put_ends)
        queue.shutdown()
        queue.close()
        with pytest.raises(ShutDown):
            while True:
                got.append(consumer.get(timeout=20))
        assert got == [*range(3), *between]
        assert consumer.qsize() == 0
        consumer.close()


class TestPuts:
    def test_many_whose_answer_is_lost_are_there_once(self, server: Kafka, url: str, name: str) -> None:
        direct: Any = conveyor.connect(url)
        with server.proxy() as proxy:
            queue: Any = conveyor.connect(server.url(name, port=proxy.port))
            queue.put("warm")
            proxy.hold("to_client")
            putter = threading.Thread(target=queue.put_many, args=(range(500),))
            putter.start()
            deadline = time.monotonic() + 30
            while direct.qsize() < 2:  # some of them: five requests may be on their way
                assert time.monotonic() < deadline, "the server has none of them"
            proxy.cut()
            proxy.release("to_client")
            putter.join(60)
            assert not putter.is_alive()
            assert direct.qsize() == 501
            got: list[Any] = []
            while len(got) < 501:
                got += direct.get_many(1000, timeout=10)
            assert got == ["warm", *range(500)]
            queue.close()
        direct.close()

    def test_a_handler_that_raises_keeps_no_report_from_others(
        self, server: Kafka, url: str, name: str
    ) -> None:
        """The main thread polls for all, and is torn away."""
        direct: Any = conveyor.connect(url)
        with server.proxy() as proxy:
            queue: Any = conveyor.connect(server.url(name, port=proxy.port))
            queue.put(0)
            putters = [threading.Thread(target=queue.put, args=(number,)) for number in (2, 3)]

            class Torn(Exception):
                pass

            def tear(*_: object) -> None:
                for putter in putters:
                    putter.start()
                raise Torn

            proxy.hold("to_client")
            before = signal.signal(signal.SIGALRM, tear)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(Torn):
                    queue.put(1)
            finally:
                signal.signal(signal.SIGALRM, before)
            proxy.release("to_client")
            for putter in putters:
                putter.join(60)
                assert not putter.is_alive()
            got: list[int] = []
            while len(got) < 4:
                got += direct.get_many(10, timeout=30)
            assert sorted(got) == [0, 1, 2, 3]
            queue.close()
        direct.close()

    def test_what_the_server_takes_no_such_item_of(self, url: str, name: str, admin: Any) -> None:
        topic = NewTopic(name, 1, 1, config={"max.message.bytes": "5000"})
        admin.create_topics([topic])[name].result(10)
        queue: Any = conveyor.connect(url)
        queue.put_many(range(10))
        for put in (lambda: queue.put(b"x" * 10_000), lambda: queue.put_many([b"x" * 10_000] * 10)):
            with pytest.raises(conveyor.ItemTooLarge, match=r"max\.message\.bytes"):
                put()
        queue.put(10)
        assert queue.qsize() == 11
        queue.close()
        admin.delete_topics([name])[name].result(10)


class TestOthers:
    def test_what_another_program_has_put(self, url: str, name: str, server: Kafka) -> None:
        queue: Any = conveyor.connect(url)
        producer = Producer({"bootstrap.servers": server.bootstrap})
        producer.produce(name, json.dumps({"a": [1]}), headers=[("content-type", b"application/json")])
        assert producer.flush(10) == 0
        assert queue.get(timeout=10) == {"a": [1]}
        queue.close()

    def test_a_topic_that_is_there_is_used_and_stays(self, url: str, name: str, admin: Any) -> None:
        admin.create_topics([NewTopic(name, 3, 1)])[name].result(10)
        queue: Any = conveyor.connect(url)
        queue.put_many(range(9))
        got: list[int] = []
        while len(got) < 9:
            got += queue.get_many(9, timeout=10)
        assert sorted(got) == list(range(9))
        queue.close()
        conveyor.remove(url)
        assert len(admin.list_topics(name, timeout=10).topics[name].partitions) == 3
        admin.delete_topics([name])[name].result(10)

    def test_nothing_is_left_when_it_is_removed(self, url: str, name: str, admin: Any) -> None:
        queue: Any = conveyor.connect(url)
        queue.put_many([1, 2])
        queue.lease().reject("bad")
        assert queue.statistics().dead == 1
        queue.close()
        conveyor.remove(url)
        assert [topic for topic in admin.list_topics(timeout=10).topics if name in topic] == []
