"""Fixtures for tests with servers: `from servers.fixtures import *` in a folder's conftest.py.

Each is started when a test first asks for it and stays for the whole run; a test that killed or stopped one finds it
started again. What is not installed fails the test, and the text says how to install it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from .kafka_server import Kafka
from .namespaces import Network
from .nats_server import Nats
from .rabbitmq_server import RabbitMQ
from .redis_server import Redis
from .registry import kafka_is_mocked, shared
from .server import Server, ServerMissing

__all__ = [
    "kafka",
    "nats",
    "nats_old",
    "network",
    "pytest_terminal_summary",
    "rabbitmq",
    "redis",
    "running",
    "valkey",
]


def running(kind: str) -> Server:
    """The run's server of that kind, for a test that gets the kind as a parameter."""
    try:
        return shared(kind)
    except ServerMissing as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def rabbitmq() -> RabbitMQ:
    return cast(RabbitMQ, running("rabbitmq"))


@pytest.fixture
def redis() -> Redis:
    return cast(Redis, running("redis"))


@pytest.fixture
def valkey() -> Redis:
    return cast(Redis, running("valkey"))


@pytest.fixture
def nats() -> Nats:
    return cast(Nats, running("nats"))


@pytest.fixture
def nats_old() -> Nats:
    return cast(Nats, running("nats-old"))


@pytest.fixture
def kafka() -> Kafka:
    """Possibly librdkafka's mock, then `kafka.mock` is true."""
    return cast(Kafka, running("kafka"))


@pytest.fixture
def network() -> Iterator[Network]:
    """Two network namespaces; skipped where the system does not let us make some."""
    why_not = Network.refusal()
    if why_not is not None:
        pytest.skip(why_not)
    with Network() as made:
        yield made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    why = kafka_is_mocked()
    if why is not None:
        terminalreporter.section("kafka: mock")
        terminalreporter.line(
            "Maven Central cannot be reached: the tests of Kafka ran against librdkafka's mock, not against Kafka."
        )
        terminalreporter.line(why)
