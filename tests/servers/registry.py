"""The servers of this test run, by kind."""

from __future__ import annotations

from .kafka_jars import CannotReachMaven
from .kafka_server import Kafka, MockKafka
from .nats_server import Nats, OldNats
from .rabbitmq_server import RabbitMQ
from .redis_server import Redis, Valkey
from .server import Server

__all__ = ["KINDS", "kafka_is_mocked", "make", "make_class", "shared"]

_CLASSES: dict[str, type[Server]] = {
    "rabbitmq": RabbitMQ,
    "redis": Redis,
    "valkey": Valkey,
    "nats": Nats,
    "nats-old": OldNats,
    "kafka": Kafka,
    "kafka-mock": MockKafka,
}
KINDS = tuple(kind for kind in _CLASSES if kind != "kafka-mock")

_shared: dict[str, Server] = {}
_why_mocked: str | None = None


def kafka_is_mocked() -> str | None:
    """Why "kafka" is librdkafka's mock in this run; None: it is the real one, or nobody asked for it yet."""
    return _why_mocked


def make_class(kind: str) -> type[Server]:
    """What a server of that kind is made of."""
    return _CLASSES[kind]


def make(kind: str) -> Server:
    """A new server, of which nothing is started yet. "kafka" is "kafka-mock" where Maven Central cannot be reached.

    Raises:
        ServerMissing: it is not installed; the text says how to.
    """
    global _why_mocked
    try:
        return _CLASSES[kind]()
    except CannotReachMaven as error:
        _why_mocked = str(error)
        return MockKafka()


def shared(kind: str) -> Server:
    """The server that all tests of this run share: ready, started if it is not running.

    Raises:
        ServerMissing, ServerFailed: see there.
    """
    if kind not in _shared:
        _shared[kind] = make(kind)
    server = _shared[kind]
    if not server.running:
        server.start()
    return server
