"""What a queue on a broker has set aside, since it failed too often or was rejected: shown, and put back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from ..errors import BadMessage, NotSupported
from ..queues.dead_letter import DeadLetter
from .link import deadline_after
from .port import Aside, Backend, Delivery, Message
from .settling import Settling

__all__ = ["Retrying", "checked_most"]

T = TypeVar("T")

# So many are looked at, and put back, at a time.
_AT_ONCE = 100


class Retrying(Settling, Generic[T]):
    """`peek_dead` and `retry_dead`."""

    def peek_dead(self, max_items: int = 1) -> list[DeadLetter[T]]:
        """What failed too often or was rejected, and was set aside as there were no `dead_letters`, the oldest first.

        At most `max_items`; they stay where they are. Of one that cannot be read the letter has `raw`.

        Raises:
            ValueError: `max_items` is below 1, or the queue is closed in this process.
            BrokerUnreachable: the broker could not be reached in time.
        """
        self._check_open()
        most = checked_most(max_items)

        def look(backend: Backend) -> list[DeadLetter[T]]:
            letters: list[DeadLetter[T]] = []
            with backend.aside() as aside:
                while some := aside.next(min(most - len(letters), _AT_ONCE)):
                    letters += map(self._letter, some)
                    if len(letters) >= most:
                        break
            return letters

        return self._call(look)

    def retry_dead(
        self,
        choose: Callable[[DeadLetter[T]], bool] | None = None,
        max_items: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """Put back what failed too often or was rejected, and was set aside as there were no `dead_letters`.

        Each is put as it was, byte for byte, behind what waits, and then removed from there: of what is killed in
        between at most 100 are in both, and none is in neither. Its attempts are counted anew. What is set aside
        meanwhile stays.

        Args:
            choose: which of them; None: all.
            max_items: how many at most, the oldest ones; None: any number.
            timeout: seconds to wait for room; None: for ever.

        Returns:
            How many were put back.

        Raises:
            queue.Full, ShutDown, BrokerUnreachable: as `put`. Those that were put back are; the error's `items_retried`
                says how many.
            NotSupported: `choose` on Kafka, which deletes nothing but the oldest; and of a group of a topic, into which
                nobody can put.
            ValueError: `max_items` is below 1, or the queue is closed in this process.
        """
        self._check_open()
        most = sys.maxsize if max_items is None else checked_most(max_items)
        if choose is not None and not self._capabilities.forgets_any:
            raise NotSupported(
                f"{self._shown}: Kafka deletes only the oldest of what was set aside, so that none can be "
                "chosen; retry all of it or the first so many (max_items), or give the queue dead_letters= and choose "
                "from those"
            )
        deadline = deadline_after(timeout)
        there = self._call(lambda backend: backend.figures())["dead"]
        retried = 0
        # The tags of those that are in, and of which the connection was lost before it was known that they are removed.
        owed: set[Any] = set()

        def remove(aside: Aside, done: Sequence[Delivery]) -> None:
            nonlocal retried
            if not aside.keeps_tags:
                aside.remove(done)
                retried += len(done)
                return
            tags = {each.tag for each in done}
            retried += len(tags - owed)
            owed.update(tags)
            aside.remove(done)
            owed.difference_update(tags)

        def retry(backend: Backend) -> None:
            left = there - retried + len(owed)
            with backend.aside() as aside:
                while left > 0 and (retried < most or owed):
                    some = aside.next(min(left, most - retried + len(owed), _AT_ONCE))
                    if not some:
                        break
                    left -= len(some)
                    known = [each for each in some if owed and each.tag in owed]
                    if known:
                        remove(aside, known)
                        some = [each for each in some if each not in known]
                    meant = [each for each in some if choose is None or choose(self._letter(each))]
                    meant = meant[: most - retried]
                    if not meant:
                        continue
                    put = 0
                    try:
                        self._send([self._again(each) for each in meant], deadline)
                        put = len(meant)
                    except BaseException as error:
                        put = getattr(error, self._counted, 0)
                        raise
                    finally:
                        if put:
                            remove(aside, meant[:put])

        try:
            self._call(retry, deadline)
        except BaseException as error:
            error.items_retried = retried  # type: ignore[attr-defined]
            raise
        return retried

    def _again(self, delivery: Delivery) -> Message:
        return Message(delivery.body, delivery.content_type, f"{self._ids}{next(self._numbers):x}")

    def _letter(self, delivery: Delivery) -> DeadLetter[T]:
        raw: bytes | None = None
        try:
            item: Any = self._read(delivery)
        except BadMessage:
            item = raw = delivery.body
        return DeadLetter(item, delivery.attempts, delivery.error, delivery.pid, raw)


def checked_most(max_items: int) -> int:
    """How many items are meant at most.

    Raises:
        TypeError, ValueError: it is no number, or below 1.
    """
    if not hasattr(max_items, "__index__"):
        raise TypeError(f"max_items is {max_items!r}; it must be an integer")
    if max_items < 1:
        raise ValueError(f"max_items is {max_items}; it must be at least 1")
    return int(max_items)
