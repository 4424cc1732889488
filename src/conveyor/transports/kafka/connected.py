"""What queues and topics on Kafka have in common: the connection, and the control record."""

from __future__ import annotations

import json
import os
import re
import weakref
from collections.abc import Mapping
from typing import Any

from ...errors import NotSupported
from ..port import Capabilities, Connection, ConnectionLost, Settings
from ..url import Url
from .client import Client, forget, release, shared_client
from .settings import LONGEST, group_of

__all__ = ["KafkaConnection"]

# For ever: what goes is what was settled, or what the cluster's own rule says for topics.
_KEPT = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_SIZE = {"max.message.bytes": str(LONGEST + 2**16)}


class KafkaConnection(Connection):
    """A queue or topic on a cluster. All handles of a URL in a process share a client.

    A lost connection is made again by the client itself, which knows what of a message has arrived: so `drop` lets
    go of nothing.
    """

    capabilities = Capabilities(ends_leases=False, sees_end=True, forgets_any=False, lists_groups=False)

    def __init__(self, url: Url) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", url.name) or url.name in (".", ".."):
            raise ValueError(
                f"{url}: on Kafka a name may have letters, digits, '.', '_' and '-', and no others"
            )
        self._url = url
        self._dead = f"conveyor.dead.{url.name}"
        self._held: Client | None = None
        self._release: Any = None
        self._is_open = False
        self._extra: Mapping[str, Any] = {}

    # -- connection

    def open(self, wait: float) -> None:
        client = self._held
        if client is None:
            client = self._held = shared_client(self._url)
            self._release = weakref.finalize(self, release, client)
        client.reach(wait)
        self._is_open = True

    def drop(self) -> None:
        self._is_open = False

    def close(self) -> None:
        self._is_open = False
        self._held = None
        if self._release is not None:
            self._release()

    def abandon(self) -> None:
        self._held = None
        self._is_open = False
        if self._release is not None:
            self._release.detach()
            self._release = None

    def address(self) -> str:
        return ", ".join(f"{host}:{port or 9092}" for host, port in self._url.hosts)

    @property
    def _client(self) -> Client:
        client = self._held
        if client is None or not self._is_open:
            raise ConnectionLost(f"{self._url} is closed")
        return client

    def _removed(self) -> FileNotFoundError:
        return FileNotFoundError(f"{self._url} was removed")

    # -- the control record

    def read_record(self) -> tuple[bytes, Any] | None:
        return self._client.log.read()

    def write_record(self, record: bytes, version: Any) -> bool:
        client = self._client
        parsed = json.loads(record)
        if version is None:
            self._check(parsed["settings"])
            client.make(self._url.name, self._url.options["partitions"], self._config())
            client.make(client.log_topic, 1, _KEPT | _SIZE)
        if not client.log.write(record, version):
            return False
        if parsed["ended"]:
            client.ends()
        return True

    def settings(self) -> Mapping[str, Any]:
        # Whether it is ours to delete; and what this queue's commits are known by.
        ours = not self._client.partitions_of(self._url.name)
        return {"group": group_of(self._url), "mark": os.urandom(4).hex(), "ours": ours}

    def declare(self, settings: Settings) -> None:
        self._extra = settings.extra

    def destroy(self) -> None:
        client = self._client
        if client.log.read() is None:
            raise FileNotFoundError(f"{self._url} does not exist")
        extra = json.loads((client.log.record or (b"{}", 0))[0]).get("settings", {}).get("extra", {})
        # The record at last: what is left of it by a death in between can be removed again.
        client.remove([*([self._url.name] if extra.get("ours") else ()), self._dead])
        client.remove([client.log_topic])
        forget(client)

    def _config(self) -> dict[str, str]:
        """Of the topic with the items."""
        return _KEPT | _SIZE

    def _check(self, settings: dict[str, Any]) -> None:
        for name in ("maxsize", "max_bytes", "keep"):
            if settings[name]:
                raise NotSupported(
                    f"{self._url}: Kafka has no exact {name}; leave it out, or use redis:// or sqlite://"
                )
