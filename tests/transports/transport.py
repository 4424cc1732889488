"""The transports that the conformance suite runs on: for each, how to get a fresh URL, and what it can do.

To add one: a class here or in a file beside this one, and its name in TRANSPORTS. A test asks for what it needs with
`needs("...")`; the words are the attributes below.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import conveyor
from servers.registry import shared
from servers.server import Server


class Transport:
    """A transport under test. One object for a test session."""

    scheme: ClassVar[str]
    # What the suite may ask of it; a cell of docs/transports.md each.
    processes: ClassVar[bool] = True
    """Other processes reach it by the URL, and handles go to them in pickles."""
    exact_bounds: ClassVar[bool] = True
    """maxsize holds to the item."""
    exact_bytes: ClassVar[bool] = True
    """max_bytes holds to the byte."""
    leases_end: ClassVar[bool] = True
    """lease_seconds, of the queue and of a lease."""
    delays: ClassVar[bool] = True
    """release(delay=...)."""
    front: ClassVar[bool] = True
    """What comes back is the next to be taken."""
    knows_leased: ClassVar[bool] = True
    """statistics() knows how many are leased and dead."""
    peeks: ClassVar[bool] = True
    """peek()."""
    keeps_times: ClassVar[bool] = False
    """oldest_age()."""
    counts_returned: ClassVar[bool] = True
    """What came back waits, for qsize() and peek(), and is not leased."""
    topics: ClassVar[bool] = True
    groups: ClassVar[bool] = True
    """Topics have groups: each event to one member of each."""
    keeps_events: ClassVar[bool] = True
    """from_="oldest", and by number."""
    dense: ClassVar[bool] = True
    """Events are numbered one after another, from 0."""
    blocks_publishers: ClassVar[bool] = True
    """when_slow="block": publishers wait for a slow subscription."""
    drops_oldest: ClassVar[bool] = True
    """when_slow="drop_oldest" and "fail"."""
    soon: ClassVar[float] = 1.0
    """Seconds within which others see what changed (an end, what a dead process had): the test waits ten times that."""

    # Over a network:
    server: ClassVar[str | None] = None
    """The kind of server, of tests/servers."""
    options: ClassVar[dict[str, str]] = {}
    """What stands behind '?' in the tests."""
    puts_once: ClassVar[bool] = False
    """What is put or published again, because the answer was lost, is there once."""
    exactly_once: ClassVar[bool] = False
    """The same of all that is repeated: of takes as well."""

    calm: ClassVar[float] = 0.01
    """Seconds between two cuts, at most: so that there is something to cut."""
    kills: ClassVar[int] = 3
    """How often the server is killed."""
    deaths: ClassVar[int] = 40
    """How many consumers are killed with a lease in their hands."""
    survives_after: ClassVar[float] = 0.3
    """Seconds after which what was made survives a kill of the server."""

    @classmethod
    def tls_options(cls, server: Server) -> dict[str, str]:
        """What stands behind '?' for the server's certificate to be believed."""
        return {}

    def start(self) -> None:
        """Start what it needs; called once, before the first test."""

    def stop(self) -> None:
        """Stop it again."""

    def url(self, name: str, folder: Path) -> str:
        """A URL of that name; nothing is there yet."""
        return f"{self.scheme}://{name}"

    @contextlib.contextmanager
    def fresh(self, folder: Path, kind: str = "queue") -> Iterator[str]:
        """A URL where nothing is; what is made there is removed behind."""
        url = self.url(f"test-{uuid.uuid4().hex}", folder)
        if kind == "topic":
            url += ("&" if "?" in url else "?") + "kind=topic"
        try:
            yield url
        finally:
            with contextlib.suppress(FileNotFoundError):
                conveyor.remove(url)


class SharedMemory(Transport):
    scheme = "shm"
    groups = False


class Memory(Transport):
    scheme = "memory"
    processes = False


class Sqlite(Transport):
    scheme = "sqlite"
    topics = groups = False

    def url(self, name: str, folder: Path) -> str:
        return f"sqlite:///{folder}/queues.db?queue={name}"


class Redis(Transport):
    """What a killed process had comes back after keep_alive, 15 s if not said."""

    scheme = "redis"
    server = "redis"
    options: ClassVar[dict[str, str]] = {"keep_alive": "2"}
    puts_once = True
    exactly_once = True

    def url(self, name: str, folder: Path) -> str:
        return shared(self.server).url(name, **self.options)

    @classmethod
    def tls_options(cls, server: Server) -> dict[str, str]:
        return {"ssl_ca_certs": str(server.certificates.ca)}


class RabbitMQ(Transport):
    scheme = "amqp"
    server = "rabbitmq"
    calm = 0.2
    kills = 1  # it takes ten seconds to start
    survives_after = 2.0  # a quorum queue is on the server's list by then: see servers/rabbitmq_server.py
    exact_bounds = False
    exact_bytes = False
    delays = False
    knows_leased = False
    peeks = False
    keeps_events = False
    dense = False
    blocks_publishers = False
    drops_oldest = False

    def url(self, name: str, folder: Path) -> str:
        return shared(self.server).url(name, **self.options)

    @classmethod
    def tls_options(cls, server: Server) -> dict[str, str]:
        return {"ssl_ca_certs": str(server.certificates.ca)}


class Nats(Transport):
    """What a killed process had, and what was on its way when a connection broke, comes back after keep_alive."""

    scheme = "nats"
    server = "nats"
    options: ClassVar[dict[str, str]] = {"keep_alive": "2"}
    keeps_times = True
    counts_returned = False
    calm = 0.1
    puts_once = True
    exact_bytes = False

    def url(self, name: str, folder: Path) -> str:
        return shared(self.server).url(name, **self.options)

    @classmethod
    def tls_options(cls, server: Server) -> dict[str, str]:
        return {"ssl_ca_certs": str(server.certificates.ca)}


class Kafka(Transport):
    """One partition, so that there is one order, and one process at a time takes items."""

    scheme = "kafka"
    server = "kafka"
    keeps_times = True
    soon = 2.0  # a member of a group that was killed is taken for dead after 3 s: see servers/kafka_server.py
    calm = 0.2
    kills = 1
    puts_once = True
    deaths = 10  # each holds up the others for those 3 s
    exact_bounds = False
    exact_bytes = False
    delays = False
    blocks_publishers = False
    drops_oldest = False

    def start(self) -> None:
        if shared(self.server).kind == "kafka-mock":
            pytest.skip("librdkafka's mock makes and deletes no topics")

    def url(self, name: str, folder: Path) -> str:
        return shared(self.server).url(name, **self.options)

    @classmethod
    def tls_options(cls, server: Server) -> dict[str, str]:
        return {"ssl_ca_certs": str(server.certificates.ca)}


def _available() -> dict[str, type[Any]]:
    return {kind.scheme: kind for kind in (SharedMemory, Memory, Sqlite, Redis, RabbitMQ, Nats, Kafka)}


TRANSPORTS = _available()
