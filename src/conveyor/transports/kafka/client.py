"""The connections of one process to one URL; all of its handles share them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping
from importlib import import_module
from multiprocessing import util
from time import monotonic, sleep
from typing import Any

from ...errors import NotSupported
from ..port import ConnectionLost
from ..url import Url
from .administration import Administration
from .forks import outlive_all, outlives_forks
from .group import Group
from .observer import Observer
from .record_log import END, RecordLog
from .reports import Reports
from .sender import Sender
from .settings import (
    ANSWER_SECONDS,
    KafkaError,
    KafkaException,
    group_of,
    is_refusal,
    meaning,
    producer_settings,
    raised,
)

__all__ = ["Client", "forget", "release", "shared_client"]

_kafka: Any = import_module("confluent_kafka")
_admin: Any = import_module("confluent_kafka.admin")

# Within so long the threads of a client notice that it is closed.
_POLL_SECONDS = 0.1
_ATTEMPT_SECONDS = 0.25
# Until all servers of a cluster know of a topic that was just made.
_SPREAD_SECONDS = 2.0
_BROKERS_GONE = (KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)


class Client:
    """Producer, administration and group of one URL.

    Attributes:
        down: why no server can be reached, as far as the client knows; None: one can.
        reports: of what it puts.
        log: the control record.
    """

    def __init__(self, url: Url) -> None:
        outlives_forks(self)
        self.url = url
        self.pid = os.getpid()
        self.users = 0
        self.down: str | None = None
        self._refusal: Any = None
        self._lock = threading.RLock()  # as a signal's handler may use the queue as well
        self._closing = threading.Event()
        self._topic = url.name
        self._producer: Any = _kafka.Producer({**producer_settings(url), "error_cb": self.on_error})
        self.reports = Reports(self._producer)
        self._administration = Administration(self)
        self._observer = Observer(self)
        self.log = RecordLog(self, f"conveyor.record.{url.name}")
        self._partitions = 0
        self._sender: Sender | None = None
        self._group: Group | None = None
        threading.Thread(target=self._serve, name="conveyor-kafka", daemon=True).start()

    def _serve(self) -> None:
        """What comes while nobody waits for a report: errors, and reports of what nobody waits for any more."""
        while not self._closing.wait(_POLL_SECONDS):
            self.reports.serve(0)
        self._producer = None
        self.reports.close()

    @property
    def producer(self) -> Any:
        """The client's, for what is put; all connections go with it.

        Raises:
            ConnectionLost: this was closed.
        """
        producer = self._producer
        if producer is None:
            raise ConnectionLost(f"{self.url} is closed")
        return producer

    def on_error(self, error: Any) -> None:
        """The client reports something; called in its threads."""
        if is_refusal(error):
            self._refusal = error
        elif error.code() in _BROKERS_GONE:
            self.down = f"{error.name()}: {error.str()}"

    def check(self) -> None:
        """Raise PermissionError if the server has refused us."""
        if self._refusal is not None:
            raise meaning(self._refusal, self.url)

    def reach(self, wait: float) -> None:
        """See that a server answers.

        Raises:
            ConnectionLost, PermissionError: see `Connection.open`.
        """
        until = monotonic() + wait
        self.down = self._refusal = None
        while True:
            left = until - monotonic()
            try:
                self.producer.list_topics(self.log_topic, timeout=max(min(left, _ATTEMPT_SECONDS), 0.01))
            except KafkaException as error:
                self.check()
                found = raised(error, self.url)
                if isinstance(found, ConnectionLost) and left > _ATTEMPT_SECONDS and self.down is None:
                    continue
                if self.down is not None:
                    raise ConnectionLost(self.down) from error
                raise found from error
            self.down = None
            return

    @property
    def log_topic(self) -> str:
        """The name of the control record's."""
        return f"conveyor.record.{self.url.name}"

    @staticmethod
    def pause(seconds: float) -> None:
        """Sleep."""
        sleep(seconds)

    # -- topics of Kafka's

    def partitions_of(self, topic: str) -> int:
        """How many a topic has; 0: there is none of that name."""
        try:
            found = self.producer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        except KafkaException as error:
            self.check()
            raise raised(error, self.url) from error
        if found.error is not None:
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return 0
            raise meaning(found.error, self.url)
        if not found.partitions:
            raise ConnectionLost(f"no server says which partitions {topic} has")
        return len(found.partitions)

    def make(self, topic: str, partitions: int, config: Mapping[str, str]) -> bool:
        """Make a topic, unless it is there already; whether it was made."""
        replication = self.url.options["replication"]
        made = _admin.NewTopic(
            topic,
            num_partitions=partitions,
            replication_factor=-1 if replication is None else replication,
            config=dict(config),
        )
        # A client that asks for it afterwards, at another server of the cluster, must find it.
        results = self._administration.ask(
            lambda admin: admin.create_topics([made], operation_timeout=ANSWER_SECONDS),
            fine=(KafkaError.TOPIC_ALREADY_EXISTS,),
        )
        return results[topic] is None

    def remove(self, topics: list[str]) -> None:
        """Delete topics; those that there are not are no error."""
        self._administration.ask(
            lambda admin: admin.delete_topics(topics, operation_timeout=ANSWER_SECONDS),
            fine=(KafkaError.UNKNOWN_TOPIC_OR_PART,),
        )

    def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """The first offset and that behind the last, of each."""
        return self._observer.bounds(topic, partitions)

    def delete_before(self, topic: str, offsets: Mapping[int, int], wait: bool = False) -> None:
        """Delete what lies before, of each partition; without `wait` nobody hears whether it could be done."""
        places = [_kafka.TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        with contextlib.nullcontext() if wait else contextlib.suppress(ConnectionLost, OSError):
            self._administration.delete_records(topic, places, wait)

    def extent(self, topic: str) -> tuple[int, int] | None:
        """The first offset and that behind the last, of a topic of one partition; None: there is none of that name."""
        try:
            return self.bounds(topic, (0,))[0]
        except ConnectionLost:
            if self.partitions_of(topic):
                raise
            return None

    # -- items

    @property
    def partitions(self) -> int:
        """Of the topic with the items."""
        until = monotonic() + _SPREAD_SECONDS
        while not self._partitions:
            self._partitions = self.partitions_of(self._topic)
            if not self._partitions and monotonic() > until:
                raise FileNotFoundError(f"{self.url} was removed")
        return self._partitions

    @property
    def sender(self) -> Sender:
        """Puts items."""
        with self._lock:
            sender = self._sender
        if sender is None:
            fresh = Sender(self, self._topic, self.partitions, self.ends)
            with self._lock:
                sender = self._sender = self._sender or fresh
        return sender

    def put_one(
        self, topic: str, partition: int, body: bytes | None, headers: Any, name: str = ""
    ) -> tuple[int, int]:
        """See `Sender.put_one`."""
        return self._single.put_one(topic, partition, body, headers, name)

    @property
    def _single(self) -> Sender:
        # Of no topic: what it puts belongs to no chain.
        return self._sender or Sender(self, "", 1, lambda: None)

    def ends(self) -> dict[int, int] | None:
        """Where the items end, by partition, as the record says now; None: they do not.

        Raises:
            FileNotFoundError: it was removed.
        """
        found = self.log.read_ends()
        if found is None:
            raise FileNotFoundError(f"{self.url} was removed")
        is_ended, ends = found
        if not is_ended:
            return None
        return ends or self.log.write_ends(self._put_ends)

    def _put_ends(self) -> dict[int, int]:
        return {
            partition: self.put_one(self._topic, partition, None, [(END, b"")])[1]
            for partition in range(self.partitions)
        }

    @property
    def group(self) -> Group | None:
        """The consumers' group, if this process is or was a member."""
        return self._group

    def joined_group(self, mark: str, trims: bool) -> Group:
        """The same; made if there is none."""
        with self._lock:
            if self._group is None:
                fresh = Group(self, self._topic, mark, trims)
                if self._group is None:
                    self._group = fresh
                else:  # a signal's handler has joined meanwhile
                    fresh.close()
            return self._group

    def committed(self, partitions: Iterable[int]) -> dict[int, tuple[int, str]]:
        """What the group has committed of each partition: offset, below 0 if nothing, and metadata."""
        return self._observer.committed(self._topic, partitions)

    def commit_first(self, offsets: Mapping[int, int], metadata: str) -> None:
        """Have the group begin there, of each partition; nothing, if it has members, who know where they are."""
        self._commit(offsets, metadata, KafkaError.UNKNOWN_MEMBER_ID)

    def commit_last(self, offsets: Mapping[int, int], metadata: str) -> None:
        """Have the group say of each partition that it is no more. Of other topics it may be the group still.

        Raises:
            ConnectionLost, OSError: that cannot be said; also if it has members.
        """
        if self._group is not None:
            self._group.close()
        self._commit(offsets, metadata)

    def _commit(self, offsets: Mapping[int, int], metadata: str, fine: int | None = None) -> None:
        places = [
            _kafka.TopicPartition(self._topic, partition, offset, metadata)
            for partition, offset in offsets.items()
        ]
        group = group_of(self.url)
        asked = _kafka.ConsumerGroupTopicPartitions(group, places)
        answers = self._administration.ask(
            lambda admin: admin.alter_consumer_group_offsets([asked], request_timeout=ANSWER_SECONDS)
        )
        for place in answers[group].topic_partitions:
            if place.error is not None and place.error.code() != fine:
                raise meaning(place.error, self.url)

    # -- its end

    def close(self) -> None:
        """Leave the group, and let all connections go."""
        self._closing.set()
        with self._lock:
            group, self._group = self._group, None
        self._administration.close()
        if group is not None:
            group.close()
        self.log.close()
        self._observer.close()


_clients: dict[str, Client] = {}
# Reentrant, as a connection that is collected is released by whichever thread makes an object just then.
_clients_lock = threading.RLock()
_leaves_in = 0


def shared_client(url: Url) -> Client:
    """The client of a URL, in this process; `release` it."""
    with _clients_lock:
        client = _clients.get(url.text)
        if client is None:
            _leave_at_exit()
            try:
                client = _clients[url.text] = Client(url)
            except KafkaException as error:
                found = error.args[0]
                if found.code() in (KafkaError._INVALID_ARG, KafkaError._UNSUPPORTED_FEATURE):
                    raise NotSupported(f"{url}: {found.str()}") from error
                raise raised(error, url) from error
        client.users += 1
        return client


def release(client: Client) -> None:
    """One that it was made for needs it no more."""
    if client.pid != os.getpid():
        return
    with _clients_lock:
        client.users -= 1
        if client.users:
            return
        if _clients.get(client.url.text) is client:
            del _clients[client.url.text]
    client.close()


def forget(client: Client) -> None:
    """A client that connects to its URL from now on gets another one: what that is a URL of was removed."""
    with _clients_lock:
        if _clients.get(client.url.text) is client:
            del _clients[client.url.text]


def _leave_at_exit() -> None:
    """Have the groups left when this process ends, also if it is a child of multiprocessing's."""
    global _leaves_in
    if _leaves_in != os.getpid():
        _leaves_in = os.getpid()
        util.Finalize(None, _close_all, exitpriority=10)


def _close_all() -> None:
    """The process ends: others should not have to wait until it is taken for dead."""
    with _clients_lock:
        clients = list(_clients.values())
        _clients.clear()
    for client in clients:
        client.close()


def _after_fork() -> None:
    global _clients_lock
    _clients_lock = threading.RLock()
    _clients.clear()
    outlive_all()


os.register_at_fork(after_in_child=_after_fork)
