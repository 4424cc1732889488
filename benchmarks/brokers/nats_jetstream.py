"""nats-py: a JetStream work queue with a durable pull consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

from .side import BATCH, BODY, TAKEN, Side

__all__ = ["SIDES"]

T = TypeVar("T")


class JetStream(Side):
    label = "nats-py, JetStream"

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def open(self) -> None:
        import nats

        self._loop = asyncio.new_event_loop()

        async def connect() -> None:
            self._client: Any = await nats.connect(
                f"nats://{self.server.host}:{self.server.port}",
                user=self.server.user,
                password=self.server.password,
            )
            self._stream = self._client.jetstream()
            await self._stream.add_stream(name=self.name, subjects=[self.name], retention="workqueue")
            self._consumer = await self._stream.pull_subscribe(self.name, durable="workers")

        self._run(connect())

    def close(self) -> None:
        async def close() -> None:
            await self._stream.delete_stream(self.name)
            await self._client.close()

        self._run(close())
        self._loop.close()

    def empty(self) -> None:
        self._run(self._stream.purge_stream(self.name))

    def fill(self, count: int) -> None:
        self.put_many(count)

    def put(self, count: int) -> None:
        async def put() -> None:
            for _ in range(count):
                await self._stream.publish(self.name, BODY)

        self._run(put())

    def put_many(self, count: int) -> None:
        async def put() -> None:
            for _ in range(0, count, BATCH):
                await asyncio.gather(*[self._stream.publish(self.name, BODY) for _ in range(BATCH)])

        self._run(put())

    async def _take(self, most: int, count: int) -> None:
        while count:
            messages = await self._consumer.fetch(min(most, count), timeout=60)
            for message in messages:
                await message.ack()
            count -= len(messages)

    def get(self, count: int) -> None:
        self._run(self._take(1, count))

    def get_many(self, count: int) -> None:
        self._run(self._take(TAKEN, count))

    def trip(self, count: int) -> list[float]:
        async def trip() -> list[float]:
            times: list[float] = []
            for _ in range(count):
                begun = perf_counter()
                await self._stream.publish(self.name, BODY)
                await self._take(1, 1)
                times.append(perf_counter() - begun)
            return times

        return self._run(trip())


SIDES: tuple[type[Side], ...] = (JetStream,)
