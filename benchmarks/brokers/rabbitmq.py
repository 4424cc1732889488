"""RabbitMQ's clients: pika in its two ways, aio-pika. On quorum queues, as conveyor's are, with durable messages."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import conveyor

from .side import BATCH, BODY, TAKEN, Side

__all__ = ["SIDES", "Kombu", "KombuQuorum"]

_PREFETCH = 300  # the manual: from 100 to 300


class _OnRabbit(Side):
    def open(self) -> None:
        self.url = self.server.url(self.name)
        self.queue: Any = conveyor.connect(
            self.url
        )  # makes and fills the quorum queue; measured is the client
        self.connect()

    def connect(self) -> None:
        raise NotImplementedError

    def disconnect(self) -> None:
        raise NotImplementedError

    def fill(self, count: int) -> None:
        self.queue.put_many([BODY] * count)

    def empty(self) -> None:
        self.queue._link.backend.purge()  # whatever other programs have put there

    def close(self) -> None:
        self.disconnect()
        self.queue.close()
        conveyor.remove(self.url)


def _parameters(server: Any) -> Any:
    import pika

    return pika.ConnectionParameters(
        server.host, server.port, credentials=pika.PlainCredentials(server.user, server.password)
    )


class Pika(_OnRabbit):
    """BlockingConnection: basic_publish with confirms; basic_consume with prefetch, and basic_ack."""

    label = "pika, blocking"

    def connect(self) -> None:
        import pika

        self._durable = pika.BasicProperties(delivery_mode=2)
        self._connection = pika.BlockingConnection(_parameters(self.server))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def disconnect(self) -> None:
        self._connection.close()

    def put(self, count: int) -> None:
        for _ in range(count):
            self._channel.basic_publish("", self.name, BODY, self._durable, mandatory=True)

    def get(self, count: int, together: int = 1) -> None:
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=_PREFETCH)
        left = count

        def came(channel: Any, method: Any, _: Any, __: bytes) -> None:
            nonlocal left
            left -= 1
            if left % together == 0:
                channel.basic_ack(method.delivery_tag, multiple=together > 1)
            if not left:
                channel.stop_consuming()

        channel.basic_consume(self.name, came)
        channel.start_consuming()
        channel.close()

    def get_many(self, count: int) -> None:
        self.get(count, TAKEN)

    def trip(self, count: int) -> list[float]:
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=_PREFETCH)
        came: list[int] = []
        channel.basic_consume(self.name, lambda _, method, __, ___: came.append(method.delivery_tag))
        times: list[float] = []
        for _ in range(count):
            begun = perf_counter()
            self._channel.basic_publish("", self.name, BODY, self._durable, mandatory=True)
            while not came:
                self._connection.process_data_events(1)
            channel.basic_ack(came.pop())
            times.append(perf_counter() - begun)
        channel.close()
        return times


class PikaSelect(_OnRabbit):
    """SelectConnection: confirms that are not waited for one by one."""

    label = "pika, select"

    def connect(self) -> None:
        import pika

        self._durable = pika.BasicProperties(delivery_mode=2)
        self._unconfirmed = 0

        def opened(connection: Any) -> None:
            connection.channel(on_open_callback=chosen)

        def chosen(channel: Any) -> None:
            self._channel = channel
            channel.confirm_delivery(confirmed, lambda _: self._connection.ioloop.stop())

        def confirmed(frame: Any) -> None:
            method = frame.method
            assert method.NAME == "Basic.Ack"
            if method.multiple:
                self._told = max(self._told, method.delivery_tag)
                self._single = {tag for tag in self._single if tag > self._told}
            else:
                self._single.add(method.delivery_tag)
            if self._told + len(self._single) >= self._sent:
                self._connection.ioloop.stop()

        self._sent = self._told = 0
        self._single: set[int] = set()
        self._connection: Any = pika.SelectConnection(_parameters(self.server), on_open_callback=opened)
        self._connection.ioloop.start()

    def disconnect(self) -> None:
        self._connection.add_on_close_callback(lambda *_: self._connection.ioloop.stop())
        self._connection.close()
        self._connection.ioloop.start()

    def put_many(self, count: int) -> None:
        for _ in range(0, count, BATCH):
            for _ in range(BATCH):
                self._channel.basic_publish("", self.name, BODY, self._durable, mandatory=True)
            self._sent += BATCH
            self._connection.ioloop.start()


class AioPika(_OnRabbit):
    """Coroutines; `gather` for many confirms."""

    label = "aio-pika"

    def connect(self) -> None:
        import aio_pika

        self._loop = asyncio.new_event_loop()
        self._message = lambda: aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)

        async def connect() -> None:
            self._connection = await aio_pika.connect(
                host=self.server.host,
                port=self.server.port,
                login=self.server.user,
                password=self.server.password,
            )
            self._channel = await self._connection.channel()
            await self._channel.set_qos(prefetch_count=_PREFETCH)
            self._queue = await self._channel.get_queue(self.name)

        self._loop.run_until_complete(connect())

    def disconnect(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    def _publish(self) -> Any:
        return self._channel.default_exchange.publish(self._message(), self.name)

    def put(self, count: int) -> None:
        async def put() -> None:
            for _ in range(count):
                await self._publish()

        self._loop.run_until_complete(put())

    def put_many(self, count: int) -> None:
        async def put() -> None:
            for _ in range(0, count, BATCH):
                await asyncio.gather(*[self._publish() for _ in range(BATCH)])

        self._loop.run_until_complete(put())

    def get(self, count: int) -> None:
        async def get() -> None:
            left = count
            async with self._queue.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    left -= 1
                    if not left:
                        return

        self._loop.run_until_complete(get())


class Kombu(Side):
    """SimpleQueue: without confirms, as it is if nobody says otherwise."""

    label = "kombu"
    arguments: dict[str, str] | None = None

    def open(self) -> None:
        import kombu

        self._connection = kombu.Connection(self.broker())
        self._queue = self._connection.SimpleQueue(self.name, queue_args=self.arguments)

    def broker(self) -> str:
        return f"amqp://{self.server.user}:{self.server.password}@{self.server.host}:{self.server.port}//"

    def close(self) -> None:
        self._queue.close()
        self._connection.default_channel.queue_delete(self.name)
        self._connection.close()

    def both(self, count: int) -> None:
        for _ in range(count):
            self._queue.put(BODY)
        for _ in range(count):
            self._queue.get(timeout=20).ack()


class KombuQuorum(Kombu):
    """The same on a quorum queue."""

    label = "kombu, quorum queue"
    arguments = {"x-queue-type": "quorum"}  # noqa: RUF012


SIDES: tuple[type[Side], ...] = (Pika, PikaSelect, AioPika)
