"""How items are put into a queue on NATS."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ItemTooLarge
from ..answer import Answer
from ..port import Backend, ConnectionLost, Message
from ..url import Url
from .bounded import BoundedPuts
from .connected import HEADER_BYTES, NatsConnection
from .protocol import ApiError, NobodyThere, checked
from .wire import Wire

__all__ = ["NatsPutting"]

_MOST_SENT, _MOST_BYTES_SENT = 2000, 2**22


class NatsPutting(NatsConnection, Backend):
    """A queue, as far as it is put into."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._bounded: BoundedPuts | None = None
        self._max_items = 0

    def send(self, messages: Sequence[Message], wait: float) -> int:
        longest = self._longest()
        some: list[Message] = []
        size = 0
        for message in messages:
            if len(message.body) > longest:
                raise ItemTooLarge(
                    f"the item takes {len(message.body)} bytes and can never be put: at most {longest} can, by the "
                    "server's max_payload; raise that or send smaller items"
                )
        for message in messages[:_MOST_SENT]:
            some.append(message)
            size += len(message.body)
            if size > _MOST_BYTES_SENT:
                break

        if len(some) == 1 and not self._max_items:
            return self._put_one(some[0])

        async def send(wire: Wire) -> int:
            if not self._max_items:
                return await self._put(wire, some)
            bounded = self._bounded
            if bounded is None:
                bounded = self._bounded = BoundedPuts(wire, self._names, self._max_items)
            return await bounded.put([(each.body, self._headers(each)) for each in some], wait)

        try:
            return self._do(send, wait)
        except ConnectionLost as error:
            if isinstance(error.__cause__, NobodyThere):
                raise self._after_nobody(error.__cause__) from error
            raise

    def _put_one(self, message: Message) -> int:
        """As `_put`, without a task for it."""
        wire = self._wire
        if wire is None:
            raise ConnectionLost(f"{self._url} is closed")
        answer: Answer[bytes] = Answer()

        def told(data: bytes, error: Exception | None) -> None:
            if answer.claim():
                if error is None:
                    answer.give(data)
                else:
                    answer.fail(error)

        try:
            wire.post(told, self._names.put, message.body, self._headers(message))
            checked(answer.wait(self.answer_seconds))
        except NobodyThere as error:
            raise self._after_nobody(error) from error
        except ApiError as error:
            raise self._meaning(error) from error
        return 1

    def _longest(self) -> int:
        wire = self._wire
        return (2**20 if wire is None else wire.longest) - HEADER_BYTES

    async def _put(self, wire: Wire, messages: Sequence[Message]) -> int:
        """Put them, without a bound; how many of the first are in."""
        subject = self._names.put
        answers = [wire.begin(subject, each.body, self._headers(each)) for each in messages]
        count = 0
        for answer in answers:
            try:
                checked(await answer)
            except (ApiError, NobodyThere):
                if not count:
                    raise
                break
            count += 1
        return count
