"""redis-py's streams with a consumer group: XADD, XREADGROUP, XACK; what was acknowledged is deleted, as in a queue."""

from __future__ import annotations

from typing import Any

from .rabbitmq import Kombu
from .side import BATCH, BODY, Side, Taking

__all__ = ["SIDES", "KombuRedis"]


class Streams(Taking):
    label = "redis-py, streams"

    def open(self) -> None:
        import redis

        self._redis: Any = redis.Redis(self.server.host, self.server.port, password=self.server.password)
        self._redis.xgroup_create(self.name, "workers", mkstream=True)

    def fill(self, count: int) -> None:
        self.put_many(count)

    def empty(self) -> None:
        self._redis.delete(self.name)
        self._redis.xgroup_create(self.name, "workers", mkstream=True)

    def close(self) -> None:
        self._redis.delete(self.name)
        self._redis.close()

    def _put(self) -> None:
        self._redis.xadd(self.name, {"body": BODY})

    def put_many(self, count: int) -> None:
        for _ in range(0, count, BATCH):
            with self._redis.pipeline(transaction=False) as pipeline:
                for _ in range(BATCH):
                    pipeline.xadd(self.name, {"body": BODY})
                pipeline.execute()

    def _take(self, most: int) -> int:
        [(_, entries)] = self._redis.xreadgroup("workers", "me", {self.name: ">"}, count=most, block=60_000)
        ids = [name for name, _ in entries]
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xack(self.name, "workers", *ids)
            pipeline.xdel(self.name, *ids)
            pipeline.execute()
        return len(ids)


class KombuRedis(Kombu):
    label = "kombu"

    def broker(self) -> str:
        return f"redis://:{self.server.password}@{self.server.host}:{self.server.port}/0"


SIDES: tuple[type[Side], ...] = (Streams,)
