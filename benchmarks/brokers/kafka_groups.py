"""confluent-kafka: acks=all, idempotent; a consumer group that commits what it has dealt with."""

from __future__ import annotations

from typing import Any

from .side import BATCH, BODY, Side, Taking

__all__ = ["SIDES"]


class Confluent(Taking):
    label = "confluent-kafka"

    def open(self) -> None:
        from confluent_kafka import Consumer, Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        settings: dict[str, Any] = {
            "bootstrap.servers": f"{self.server.host}:{self.server.port}",
            "log_level": 0,
        }
        if not self.server.kind.endswith("mock"):
            settings |= {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": self.server.user,
                "sasl.password": self.server.password,
            }
            self._admin: Any = AdminClient(settings)
            topic = NewTopic(self.name, num_partitions=1, replication_factor=1)
            self._admin.create_topics([topic])[self.name].result(30)
        self._producer: Any = Producer(
            {**settings, "acks": "all", "enable.idempotence": True, "linger.ms": 0}
        )
        self._consumer: Any = Consumer(
            {
                **settings,
                "group.id": self.name,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        self._consumer.subscribe([self.name])
        self._put_together(1)
        self._take(1)  # the group has its partition now

    def close(self) -> None:
        self._consumer.close()
        if not self.server.kind.endswith("mock"):
            self._admin.delete_topics([self.name])[self.name].result(30)

    def fill(self, count: int) -> None:
        self._put_together(count)

    def empty(self) -> None:
        while self._consumer.consume(1000, 0.3):
            self._consumer.commit(asynchronous=False)

    def _put_together(self, count: int) -> None:
        errors: list[Any] = []
        for _ in range(count):
            self._producer.produce(
                self.name, BODY, on_delivery=lambda error, _: error and errors.append(error)
            )
        assert not self._producer.flush(60)
        assert not errors, errors[0]

    def _put(self) -> None:
        self._put_together(1)

    def put_many(self, count: int) -> None:
        for _ in range(0, count, BATCH):
            self._put_together(BATCH)

    def _take(self, most: int) -> int:
        found: list[Any] = []
        while not found:
            found = self._consumer.consume(most, 10) if most > 1 else [self._consumer.poll(10)]
            found = [message for message in found if message is not None and message.error() is None]
        for message in found:
            assert message.value() == BODY
        self._consumer.commit(message=found[-1], asynchronous=False)
        return len(found)


SIDES: tuple[type[Side], ...] = (Confluent,)
