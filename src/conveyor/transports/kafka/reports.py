"""The delivery reports of a producer, and who fetches them."""

from __future__ import annotations

import contextlib
import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import Any

from ..._native import call_with_tuple
from ..port import ConnectionLost
from .flight import Flight, Together
from .settings import KafkaException

__all__ = ["Reports"]

_flight_of = itemgetter(0)


class Reports:
    """A call that waits for a report polls the client, so that a put needs no other thread. One polls for all who wait.

    A signal's handler may raise in any line of Python that the main thread runs. So the client's callback has none: it
    appends to a queue. What is taken from there is done once more if it was not done to its end.

    Args:
        producer: the client.
    """

    def __init__(self, producer: Any) -> None:
        self._producer: Any = producer
        # Reentrant, as the handler of a signal may put as well.
        self._turn = threading.RLock()
        self._arrived: deque[tuple[Flight | Together, Any, Any]] = deque()
        self._append = self._arrived.append
        self._followers: dict[_Follower, None] = {}

    def callback(self, flight: Flight | Together) -> Callable[[Any, Any], Any]:
        """What the client calls with the reports of `flight`."""
        return partial(call_with_tuple, self._append, flight)

    def wait(self, flights: Sequence[Flight | Together], seconds: float) -> bool:
        """Until all have landed, or for so long; whether they have."""
        follower = _Follower(flights)
        if follower.has_landed():
            return True
        until = monotonic() + seconds
        turn, followers = self._turn, self._followers
        try:
            while True:
                if turn.acquire(blocking=False):
                    return self._lead(follower, until)
                followers[follower] = None
                if turn.acquire(blocking=False):  # who led has not seen us
                    return self._lead(follower, until)
                left = until - monotonic()
                if left <= 0:
                    return follower.has_landed()
                follower.woken.acquire(timeout=left)
                if follower.has_landed():
                    return True
        finally:
            followers.pop(follower, None)
            if turn._is_owned():  # type: ignore[attr-defined]  # also if a signal's handler raised just behind `acquire`
                turn.release()
            self._wake_one()

    def _lead(self, follower: _Follower, until: float) -> bool:
        while not follower.has_landed():
            left = until - monotonic()
            if left <= 0:
                return False
            self._serve(left)
        return True

    def serve(self, seconds: float) -> None:
        """Have done what is to be done, or comes within so long, if nobody does."""
        try:
            if self._turn.acquire(blocking=False):
                self._serve(seconds)
        finally:
            if self._turn._is_owned():  # type: ignore[attr-defined]
                self._turn.release()
            self._wake_one()

    def _serve(self, seconds: float) -> None:
        producer = self._producer
        if producer is None:
            raise ConnectionLost("the client is closed")
        producer.poll(seconds)
        while self._arrived:
            self._report(list(self._arrived))
        for follower in list(self._followers):
            if follower.has_landed():
                follower.wake()

    def _report(self, arrived: list[tuple[Flight | Together, Any, Any]]) -> None:
        """Tell the flights, those of the same one together, and have done with it."""
        for flight, some in groupby(arrived, _flight_of):
            flight.report([(error, message) for _, error, message in some])
        waiting = self._arrived
        for each in arrived:
            if waiting and waiting[0] is each:  # or the handler of a signal has served
                waiting.popleft()

    def close(self) -> None:
        """Give up what is on its way."""
        producer, self._producer = self._producer, None
        with contextlib.suppress(KafkaException):
            producer.purge()
            producer.poll(0)

    def _wake_one(self) -> None:
        """The next to lead."""
        for follower in list(self._followers):
            follower.wake()
            return


class _Follower:
    """Somebody who waits while another one polls."""

    __slots__ = ("_flights", "_landed", "woken")

    def __init__(self, flights: Sequence[Flight | Together]) -> None:
        self._flights = flights
        self._landed = 0  # so many of the first; no more than there are, whichever thread counts
        self.woken = allocate_lock()
        self.woken.acquire()

    def has_landed(self) -> bool:
        flights, landed = self._flights, self._landed
        count = len(flights)
        while landed < count and flights[landed].has_landed:
            landed += 1
        self._landed = landed
        return landed == count

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # somebody else has
            self.woken.release()
