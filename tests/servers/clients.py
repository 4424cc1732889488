"""What the tests of the servers do with each: keep a message, find it again, by TLS, with a wrong password."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .kafka_server import Kafka
from .rabbitmq_server import RabbitMQ
from .server import Server

__all__ = ["Refused", "find", "keep"]

NAME = "conveyor-tests"


class Refused(Exception):
    """The server did not let us in, or we did not trust it."""


def keep(server: Server, message: bytes, **how: Any) -> None:
    """Stores the message; when this returns, the server has it for good.

    Args:
        how: `tls`: by TLS; `ca`: the authority to trust; `password`: another one; `port`: a proxy's.

    Raises:
        Refused: see there.
    """
    _CLIENTS[server.kind](server, message, **{"tls": False, "ca": server.certificates.ca, **how})


def find(server: Server, **how: Any) -> bytes:
    """The oldest message; it stays."""
    found = _CLIENTS[server.kind](server, None, **{"tls": False, "ca": server.certificates.ca, **how})
    assert isinstance(found, bytes)
    return found


def _context(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


def _where(server: Server, tls: bool, port: int | None) -> int:
    return port or (server.tls_port if tls else server.port) or 0


def _rabbitmq(
    server: Server,
    message: bytes | None,
    *,
    tls: bool,
    ca: Path,
    password: str | None = None,
    port: int | None = None,
) -> bytes | None:
    import pika
    from pika.exceptions import AMQPConnectionError

    parameters = pika.ConnectionParameters(
        server.host,
        _where(server, tls, port),
        credentials=pika.PlainCredentials(server.user, password or server.password),
        ssl_options=pika.SSLOptions(_context(ca), server.host) if tls else None,
        socket_timeout=10,
        blocked_connection_timeout=10,
    )
    try:
        connection = pika.BlockingConnection(parameters)
    except (AMQPConnectionError, OSError) as error:
        raise Refused(repr(error)) from error
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(NAME, durable=True, arguments={"x-queue-type": "quorum"})
        if message is not None:
            channel.basic_publish("", NAME, message, pika.BasicProperties(delivery_mode=2), mandatory=True)
            assert isinstance(server, RabbitMQ)
            server.wait_registered(NAME)
            return None
        for _, _, body in channel.consume(NAME, inactivity_timeout=30):
            return body
        return None
    finally:
        if connection.is_open:
            connection.close()


def _redis(
    server: Server,
    message: bytes | None,
    *,
    tls: bool,
    ca: Path,
    password: str | None = None,
    port: int | None = None,
) -> bytes | None:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(ca)} if tls else {}
    with redis.Redis(
        server.host,
        _where(server, tls, port),
        password=password or server.password,
        socket_timeout=10,
        retry=Retry(NoBackoff(), 0),
        **options,
    ) as client:
        try:
            if message is not None:
                client.xadd(NAME, {"body": message})
                return None
            [(_, fields), *_] = client.xrange(NAME, count=1)
        except (redis.AuthenticationError, redis.ConnectionError) as error:
            raise Refused(repr(error)) from error
        body: bytes = fields[b"body"]
        return body


def _nats(
    server: Server,
    message: bytes | None,
    *,
    tls: bool,
    ca: Path,
    password: str | None = None,
    port: int | None = None,
) -> bytes | None:
    import nats
    from nats.errors import Error
    from nats.js.errors import NotFoundError

    async def run() -> bytes | None:
        errors: list[Exception] = []

        async def note(error: Exception) -> None:
            errors.append(error)

        client = nats.NATS()
        try:
            await client.connect(
                f"{'tls' if tls else 'nats'}://{server.host}:{_where(server, tls, port)}",
                user=server.user,
                password=password or server.password,
                tls=_context(ca) if tls else None,
                allow_reconnect=False,
                connect_timeout=10,
                error_cb=note,
            )
        except (TimeoutError, Error, OSError) as error:
            with suppress(asyncio.TimeoutError):  # after a handshake that failed it never ends
                await asyncio.wait_for(client.close(), 1)
            raise Refused(repr([error, *errors])) from error
        try:
            stream = client.jetstream()
            try:
                await stream.stream_info(NAME)
            except NotFoundError:
                await stream.add_stream(name=NAME, subjects=[NAME])
            if message is not None:
                await stream.publish(NAME, message, timeout=10)
                return None
            first = (await stream.stream_info(NAME)).state.first_seq
            return (await stream.get_msg(NAME, first)).data
        finally:
            await client.close()

    return _in_loop(run)


def _in_loop(function: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
    async def run() -> bytes | None:
        return await function()

    return asyncio.run(run())


def _kafka(
    server: Server,
    message: bytes | None,
    *,
    tls: bool,
    ca: Path,
    password: str | None = None,
    port: int | None = None,
) -> bytes | None:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    errors: list[str] = []
    settings: dict[str, Any] = {
        "bootstrap.servers": f"{server.host}:{_where(server, tls, port)}",
        "error_cb": lambda error: errors.append(str(error)),
        "log_level": 0,
    }
    if isinstance(server, Kafka):
        settings |= {
            "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": server.user,
            "sasl.password": password or server.password,
            "ssl.ca.location": str(ca),
        }
    admin = AdminClient(settings)
    for _ in range(60):
        admin.poll(0)
        try:
            topics = admin.list_topics(timeout=1).topics
            break
        except Exception:
            if any("uthentication" in error or "SSL" in error for error in errors):
                raise Refused(repr(errors)) from None
    else:
        raise TimeoutError(f"no answer from {server}: {errors}")
    if NAME not in topics and not server.kind.endswith("mock"):
        admin.create_topics([NewTopic(NAME, num_partitions=1, replication_factor=1)])[NAME].result(30)
    if message is not None:
        outcome: list[Any] = []
        producer = Producer({**settings, "acks": "all"})
        producer.produce(NAME, message, partition=0, on_delivery=lambda error, _: outcome.append(error))
        producer.flush(30)
        assert outcome == [None], outcome
        return None
    consumer = Consumer({**settings, "group.id": "anybody", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(NAME, 0, 0)])
        got = consumer.poll(30)
        assert got is not None, errors
        assert got.error() is None, got.error()
        return got.value()
    finally:
        consumer.close()


_CLIENTS: dict[str, Callable[..., bytes | None]] = {
    "rabbitmq": _rabbitmq,
    "redis": _redis,
    "valkey": _redis,
    "nats": _nats,
    "nats-old": _nats,
    "kafka": _kafka,
    "kafka-mock": _kafka,
}
