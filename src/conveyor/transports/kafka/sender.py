"""Puts messages into a topic of Kafka's, and knows which of them came after its end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from time import monotonic
from typing import Any

from ...errors import ItemTooLarge
from ..port import ConnectionLost, Ended, Message
from .flight import Flight, Together
from .settings import ANSWER_SECONDS, LONGEST, KafkaError, KafkaException, meaning, raised

__all__ = ["CONTENT_TYPE", "Sender"]

CONTENT_TYPE = "content-type"
_MOST_SENT, _MOST_BYTES_SENT = 10_000, 2**25
# From so many on they go to the client at once.
_MANY = 8
# So long the answer may take when the caller has no time to wait; longer, if it has.
_LEAST_WAIT = 5.0
_SLICE = 0.1
# What nobody has asked for again for so long, nobody will.
_FORGET_SECONDS = 600.0


class Sender:
    """The messages of one topic.

    A message that is sent again, by its id, is not put again: it is waited for. The end of a topic is a message of its
    own in each partition, and what comes behind is void; where those lie, the control record says. A message has come
    before the end if its offset follows one that did, without a gap; behind a gap there was somebody else, and the
    record must be read. So who is the only one to put reads it once.

    Args:
        client: with `producer`, `reports`, `url`, `check()` and `down`.
        topic: its name.
        partitions: how many there are.
        ends: reads the record, and tells where the topic ends: None if it does not.
    """

    def __init__(
        self, client: Any, topic: str, partitions: int, ends: Callable[[], dict[int, int] | None]
    ) -> None:
        self._client = client
        self._topic = topic
        self._partitions = partitions
        self._ends = ends
        self._turn = itertools.count()
        self._flying: dict[str, Flight | Together] = {}
        # By partition: the offset that would follow; written only by the thread that serves reports.
        self._following: dict[int, int] = {}
        self._chain = 0
        self._chains: dict[int, int] = {}
        self._sound: set[int] = set()

    def note(self, partition: int, first: int, behind: int) -> int:
        """Messages are there, from the offset `first` to before `behind`; the chain that they belong to.

        Called in the order of the reports.
        """
        if self._following.get(partition) != first:
            self._chain += 1
            self._sound.discard(self._chains.get(partition, -1))
            self._chains[partition] = self._chain
        self._following[partition] = behind
        return self._chains[partition]

    def send(self, messages: Sequence[Message], wait: float, keyed: bool) -> int:
        """Put them, in order; how many of the first are there.

        Args:
            messages: at least one.
            wait: seconds.
            keyed: whether the key says which partition; else they take turns.

        Raises:
            Ended: the first is void.
            ItemTooLarge, ConnectionLost: see `Backend.send`.
        """
        largest = max(len(message.body) for message in messages)
        if largest > LONGEST:
            raise ItemTooLarge(
                f"the item takes {largest} bytes and can never be put: at most {LONGEST} can; send smaller items"
            )
        some = _portion(messages)
        if self._partitions == 1 and len(some) >= _MANY and self._send_together(some, wait):
            return len(some)
        flights = self._launch(some, keyed, wait)
        self._wait(flights, wait)
        count = self._sound_ones(flights)
        for message in some[:count]:
            self._flying.pop(message.id, None)
        if count:
            return count
        error = flights[0].error
        if error is not None:
            for message, flight in zip(some, flights, strict=True):
                if flight.error is not None:
                    self._flying.pop(message.id, None)
            if error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE):
                raise ItemTooLarge(
                    f"the item takes {len(messages[0].body)} bytes and can never be put: the server takes no such "
                    "messages in this topic (max.message.bytes); send smaller items"
                )
            raise meaning(error, self._client.url)
        return 0

    def _send_together(self, messages: Sequence[Message], wait: float) -> bool:
        """Put many at once; False: there is something with one of them, and each must be looked at."""
        flying = self._flying
        names = [message.id for message in messages]
        if not flying.keys().isdisjoint(names):
            return False
        together = Together(self, messages, monotonic())
        flying.update(dict.fromkeys(names, together))
        self._take_off_together(messages, together)
        self._wait([together], wait)
        if not together.is_whole or together.chains - self._sound:
            return False
        for name in names:
            del flying[name]
        return True

    def _take_off_together(self, messages: Sequence[Message], together: Together) -> None:
        report = self._client.reports.callback(together)
        sent: list[None] = []
        while len(sent) < len(messages):
            first = messages[len(sent)]
            same = takewhile(lambda each: each.content_type == first.content_type, messages[len(sent) :])  # noqa: B023
            bodies = [message.body for message in same]
            headers = [(CONTENT_TYPE, first.content_type)]
            produce = partial(
                self._client.producer.produce, self._topic, partition=0, on_delivery=report, headers=headers
            )
            try:
                # The less time between two of them, the more go in one request.
                sent.extend(map(produce, bodies))
            except (KafkaException, BufferError):
                place = len(sent)
                error = self._produce(messages[place], 0, report)
                if error is not None:
                    together.refuse(place, error)
                sent.append(None)

    def _launch(self, messages: Sequence[Message], keyed: bool, wait: float) -> list[Flight]:
        """Their flights; those that are new take off."""
        flying = self._flying
        now = monotonic()
        if len(flying) > 2 * _MOST_SENT:
            for name, known in list(flying.items()):
                if known.has_landed and now - known.since > _FORGET_SECONDS:
                    flying.pop(name, None)
        flights: list[Flight] = []
        for message in messages:
            flight = flying.get(message.id)
            if isinstance(flight, Together):
                self._wait([flight], wait)
                flying.update(flight.apart())
                flight = flying[message.id]
            if not isinstance(flight, Flight):
                flight = Flight(self, now)
                flying[message.id] = flight
                self._take_off(message, keyed, flight)
            flights.append(flight)
        return flights

    def _take_off(self, message: Message, keyed: bool, flight: Flight) -> None:
        turn = 0 if self._partitions == 1 else -1 if keyed else next(self._turn)
        error = self._produce(
            message, turn if turn < 1 else turn % self._partitions, self._client.reports.callback(flight)
        )
        if error is not None:
            flight.fail(error)

    def _produce(self, message: Message, partition: int, report: Callable[[Any, Any], None]) -> Any:
        """Give it to the client; why it does not take it, or None."""
        key = None if message.key is None else message.key.encode("utf-8", "surrogatepass")
        headers = [(CONTENT_TYPE, message.content_type)]
        produce = self._client.producer.produce
        until = 0.0
        while True:
            try:
                produce(self._topic, message.body, key, partition, on_delivery=report, headers=headers)
                return None
            except KafkaException as error:
                return error.args[0]
            except BufferError:  # as many as the client holds are on their way
                until = until or monotonic() + _LEAST_WAIT
                if monotonic() > until:
                    return KafkaError(KafkaError._QUEUE_FULL)
                self._client.reports.serve(0.005)

    def _wait(self, flights: Sequence[Flight | Together], wait: float) -> None:
        """Until they have landed; at most `wait` seconds, or `_LEAST_WAIT` if that is more.

        Raises:
            ConnectionLost: nobody answers.
        """
        until = monotonic() + max(wait, _LEAST_WAIT)
        while not self._client.reports.wait(flights, _SLICE):
            self._client.check()
            if self._client.down is not None:
                raise ConnectionLost(self._client.down)
            if monotonic() > until:
                since = min(flight.since for flight in flights if not flight.has_landed)
                raise ConnectionLost(f"no answer for {monotonic() - since:.1f} s")

    def _sound_ones(self, flights: Sequence[Flight]) -> int:
        """How many of the first are there, and count.

        Raises:
            Ended: none, as the first came behind the end.
        """
        count = 0
        while count < len(flights) and flights[count].error is None:
            count += 1
        doubtful = {flight.chain for flight in flights[:count]} - self._sound
        if not doubtful:
            return count
        ends = self._ends()
        if ends is None:
            # Only those that are the last of their partition's will be followed.
            self._sound.update(doubtful & set(self._chains.copy().values()))
            return count
        for place, flight in enumerate(flights[:count]):
            partition, offset = flight.place
            if offset >= ends.get(partition, offset + 1):
                if not place:
                    raise Ended
                return place
        return count

    def put_one(
        self, topic: str, partition: int, body: bytes | None, headers: Any, name: str = ""
    ) -> tuple[int, int]:
        """Put a message of ours into any topic; its partition and offset.

        Args:
            name: what is put again by the same name is not.
        """
        flight = self._flying.get(name) if name else None
        if not isinstance(flight, Flight):
            flight = _Single(monotonic())
            report = self._client.reports.callback(flight)
            try:
                self._client.producer.produce(
                    topic, body, None, partition, on_delivery=report, headers=headers
                )
            except KafkaException as error:
                raise raised(error, self._client.url) from error
            if name:
                self._flying[name] = flight
        self._wait([flight], ANSWER_SECONDS)
        if name:
            self._flying.pop(name, None)
        if flight.error is not None:
            raise meaning(flight.error, self._client.url)
        return flight.place


def _portion(messages: Sequence[Message]) -> Sequence[Message]:
    """As many of the first as go at once."""
    some = messages[:_MOST_SENT]
    size = 0
    for place, message in enumerate(some):
        size += len(message.body)
        if size > _MOST_BYTES_SENT:
            return some[: place + 1]
    return some


class _Single(Flight):
    """A message that belongs to no chain."""

    __slots__ = ()

    def __init__(self, since: float) -> None:
        super().__init__(self, since)

    def note(self, partition: int, first: int, behind: int) -> int:
        return -1
