"""What is said of amqp:// alone."""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pika
import pytest

import conveyor
from conveyor import NotSupported, WrongKind
from servers.rabbitmq_server import RabbitMQ
from servers.registry import shared


@pytest.fixture
def server() -> RabbitMQ:
    server = shared("rabbitmq")
    assert isinstance(server, RabbitMQ)
    return server


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def url(server: RabbitMQ, name: str) -> Iterator[str]:
    url = server.url(name)
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


@pytest.fixture
def channel(server: RabbitMQ) -> Iterator[Any]:
    """Of another program."""
    credentials = pika.PlainCredentials(server.user, server.password)
    with pika.BlockingConnection(
        pika.ConnectionParameters(server.host, server.port, credentials=credentials)
    ) as connection:
        yield connection.channel()


class TestWhatItCannot:
    def test_logs(self, url: str) -> None:
        with pytest.raises(NotSupported, match="keep"):
            conveyor.connect(url, kind="topic", keep=3)
        topic: Any = conveyor.connect(url, kind="topic")
        for start in ("oldest", 3):
            with pytest.raises(NotSupported, match="from_"):
                topic.subscribe(from_=start)
        topic.close()

    def test_virtual_hosts(self, server: RabbitMQ, name: str) -> None:
        with pytest.raises(PermissionError):
            conveyor.connect(server.url(f"no-such-host/{name}", connect_timeout="5"))


class TestOthers:
    def test_what_another_program_has_put(self, url: str, name: str, channel: Any) -> None:
        queue: Any = conveyor.connect(url)
        properties = pika.BasicProperties(content_type="application/json")
        channel.basic_publish("", name, json.dumps({"a": [1]}).encode(), properties)
        assert queue.get(timeout=10) == {"a": [1]}
        queue.close()

    def test_a_queue_that_is_made_otherwise(self, url: str, name: str, channel: Any) -> None:
        channel.queue_declare(name, durable=False)
        with pytest.raises(WrongKind):
            conveyor.connect(url)
        channel.queue_delete(name)

    def test_nothing_is_left_when_it_is_removed(self, url: str, name: str, channel: Any) -> None:
        queue: Any = conveyor.connect(url)
        queue.put_many([1, 2])
        queue.lease().reject("bad")
        assert queue.statistics().dead == 1
        queue.close()
        conveyor.remove(url)
        for left in (name, f"conveyor.record.{name}", f"conveyor.lock.{name}", f"conveyor.dead.{name}"):
            other = channel.connection.channel()
            with pytest.raises(pika.exceptions.ChannelClosedByBroker):
                other.queue_declare(left, passive=True)

    def test_the_client_logs_nothing_of_ours(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG), pytest.raises(FileNotFoundError):
            conveyor.connect(url, create=False)
        assert [record for record in caplog.records if record.name.startswith("pika")] == []


def test_a_lease_after_the_server_has_dropped_the_marker_of_leases(url: str, name: str, channel: Any) -> None:
    """It does when nobody has had a lease for ten minutes."""
    marker = f"conveyor.leasing.{name}"
    queue: Any = conveyor.connect(url)
    queue.put_many(["a", "b"])
    queue.lease(timeout=30).acknowledge()
    while channel.queue_declare(marker, passive=True).method.consumer_count:
        channel.connection.process_data_events(0.02)
    channel.queue_delete(marker)
    lease = queue.lease(timeout=30)
    assert lease.item == "b"
    assert channel.queue_declare(marker, passive=True).method.consumer_count == 1
    lease.acknowledge()
    queue.close()
