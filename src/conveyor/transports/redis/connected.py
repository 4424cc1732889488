"""What queues and topics on Redis have in common: the connection, and the control record."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from ...errors import NotSupported
from ..port import Capabilities, Connection, ConnectionLost, Delivery, Message, Settings
from ..url import Url
from .common_scripts import DESTROY, READ_RECORD, WRITE_RECORD, base_key
from .pool import Pool
from .script import Script

__all__ = ["RedisConnection", "packed", "unpacked"]


class RedisConnection(Connection):
    """A queue or topic on a server."""

    def __init__(self, url: Url) -> None:
        if len(url.hosts) > 1:
            raise NotSupported(f"{url}: one server is meant, and {len(url.hosts)} are named")
        if url.path and not url.path.isdecimal():
            raise ValueError(
                f"{url}: the number of a database must stand before the name, as in /0/{url.name}"
            )
        self._url = url
        self._base = base_key(url.name)
        # Of the control record.
        self._record_base = self._base
        self._pool: Pool | None = None
        self._threads = threading.local()
        keep_alive: float = url.options["keep_alive"]
        self._keep_alive = keep_alive
        self.capabilities = Capabilities(ends_leases=True, keep_alive=keep_alive, sees_end=True)

    # -- connection

    def open(self, wait: float) -> None:
        pool = Pool(self._url, wait)
        try:
            pool.call("PING")
            memory = pool.call("INFO", "memory").decode()
        except BaseException:
            pool.close()
            raise
        figures = dict(line.split(":", 1) for line in memory.splitlines() if ":" in line)
        # What would be gone without a word is no queue. (volatile-...: only our kept answers may go.)
        policy = figures.get("maxmemory_policy", "")
        if figures.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
            pool.close()
            raise NotSupported(
                f"{self._url}: this server drops whatever it likes when its memory is full (maxmemory-policy is "
                f"{policy}); use one with noeviction"
            )
        self._pool = pool

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def abandon(self) -> None:
        pool, self._pool = self._pool, None
        self._threads = threading.local()
        if pool is not None:
            pool.abandon()

    def address(self) -> str:
        ((host, port),) = self._url.hosts
        return f"{host}:{port or 6379}"

    def _call(self, *command: Any) -> Any:
        pool = self._pool
        if pool is None:
            raise ConnectionLost(f"{self._url} is closed")
        return pool.call(*command)

    def _run(self, script: Script, *arguments: Any) -> Any:
        return self._run_at(self._base, script, *arguments)

    def _run_at(self, base: str, script: Script, *arguments: Any) -> Any:
        pool = self._pool
        if pool is None:
            raise ConnectionLost(f"{self._url} is closed")
        return pool.run(script, base, *arguments)

    def _thread(self) -> str:
        """What stands for this thread in calls that are done once."""
        try:
            return self._threads.name  # type: ignore[no-any-return]
        except AttributeError:
            name = self._threads.name = os.urandom(8).hex()
            return name

    def _wait_for(self, bell: str, seconds: float) -> None:
        self._call("BLPOP", f"{self._base}:{bell}", f"{max(seconds, 0.001):.3f}")

    # -- the control record

    def read_record(self) -> tuple[bytes, Any] | None:
        data, version = self._run_at(self._record_base, READ_RECORD)
        return None if data is None else (data, version)

    def write_record(self, record: bytes, version: Any) -> bool:
        ended = int(json.loads(record)["ended"])
        return bool(self._run_at(self._record_base, WRITE_RECORD, record, version or b"", ended))

    def declare(self, settings: Settings) -> None:
        self._max_items, self._max_bytes = settings.maxsize, settings.max_bytes

    def destroy(self) -> None:
        if not self._run(DESTROY):
            raise FileNotFoundError(f"{self._url} does not exist")

    def _removed(self) -> FileNotFoundError:
        return FileNotFoundError(f"{self._url} was removed")


def packed(message: Message) -> bytes:
    """Content type and body in one: the length of the first in one byte, and both."""
    kind = message.content_type.encode()
    return b"%c%b%b" % (len(kind), kind, message.body)


def unpacked(data: bytes) -> tuple[bytes, str]:
    """Body and content type."""
    start = 1 + data[0]
    return data[start:], data[1:start].decode("utf-8", "replace")


def delivery(data: bytes, tries: bytes, tag: Any) -> Delivery:
    """An item as it lies there; `tries`: attempts, process and reason, if it came back."""
    body, kind = unpacked(data)
    if not tries:
        return Delivery(body, kind, tag)
    attempts, pid, error = tries.split(b":", 2)
    return Delivery(body, kind, tag, int(attempts), error.decode("utf-8", "replace"), int(pid))
