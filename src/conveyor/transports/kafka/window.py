"""The items of one partition that this process has: what waits here, what is leased, what is settled."""

from __future__ import annotations

from collections import deque

from ..port import Delivery
from .marks import MOST_AHEAD, Marks

__all__ = ["LEASED", "RETURNED", "SETTLED", "Item", "Window"]

LEASED, SETTLED, RETURNED = range(3)


class Item(Delivery):
    """An item of a partition.

    Attributes:
        window: of its partition.
        stage: what was done with it. What is asked for once more, as the broker could not be reached, is not done
            once more.
    """

    __slots__ = ("offset", "stage", "window")

    def __init__(
        self, body: bytes, content_type: str, window: Window, offset: int, attempts: int = 0, error: str = ""
    ) -> None:
        # As Delivery's: calling that for each item takes longer than all of this.
        self.body = body
        self.content_type = content_type
        self.tag = None
        self.attempts = attempts
        self.error = error
        self.pid = 0
        self.window = window
        self.offset = offset
        self.stage = LEASED


class Window:
    """All methods are called with the group's lock held.

    Attributes:
        low: the oldest item that is not settled; what is committed.
        next: the offset that is read next.
        end: where the queue ends; what lies behind is void.
        waiting: items that were read and nobody has, in their order.
        bytes: of those.
        is_paused: whether no more are fetched.
        is_ours: whether the group has this partition with us; when that is over it never comes back.
        is_leaving: whether it goes to another member, so that nothing more is handed out.
        revision: of what is known here, and the one that the broker has.
    """

    def __init__(self, partition: int, low: int, marks: Marks | None) -> None:
        self.partition = partition
        self.low = self.next = low
        self.end: int | None = None
        self.waiting: deque[Item] = deque()
        self.leased: dict[int, int] = {}
        self.settled: set[int] = set()
        self.returned: dict[int, int] = {}
        self.bytes = 0
        self.is_paused = False
        self.is_ours = True
        self.is_leaving = False
        self.revision = self.durable = 0
        if marks is not None:
            self.settled |= marks.settled
            self.returned |= marks.returned
            # The process that had them leased is not a member any more, or has let go of the partition.
            self.returned |= {offset: count + 1 for offset, count in marks.leased.items()}

    def dump(self, mark: str) -> str:
        """The metadata of the commit of `low`."""
        return Marks(self.settled, self.leased, self.returned).dump(mark, self.low)

    # -- what comes

    def skip_to(self, offset: int) -> None:
        """There is nothing before `offset` that was not read: it was deleted, or is no item."""
        if offset <= self.next:
            return
        if self.low == self.next:
            self.low = offset
            self.settled = {each for each in self.settled if each >= offset}
            self.returned = {each: count for each, count in self.returned.items() if each >= offset}
        else:
            for each in range(self.next, offset):
                self.settled.add(each)
                self.returned.pop(each, None)
        self.next = offset
        self._rise()

    def add(self, item: Item) -> None:
        """What was read, in its order: an item, which may have been settled before."""
        offset = item.offset
        if offset != self.next:
            if offset < self.next:
                return
            self.skip_to(offset)
        if self.end is not None and offset >= self.end:
            self.skip_to(offset + 1)
            return
        self.next = offset + 1
        if offset in self.settled:
            self._rise()
            return
        if self.returned:
            item.attempts = self.returned.get(offset, 0)
        self.bytes += len(item.body)
        self.waiting.append(item)

    def pass_end(self, offset: int) -> bool:
        """It is no item, but an end; whether the broker must be told, as one that counts for nothing seems an item."""
        if offset < self.next:
            return False
        self.skip_to(offset + 1)
        if self.end is not None and offset >= self.end:
            return False
        self.revision += 1
        return True

    # -- what goes

    def take(self, most: int, lease: bool) -> list[Delivery]:
        """Items for somebody, at most `most`."""
        found: list[Delivery] = []
        if self.is_leaving:
            return found
        waiting, limit, returned = self.waiting, self.low + MOST_AHEAD, self.returned
        while waiting and len(found) < most:
            item = waiting[0]
            offset = item.offset
            if offset >= limit:
                break
            waiting.popleft()
            self.bytes -= len(item.body)
            found.append(item)
            if returned:
                returned.pop(offset, None)
            if lease:
                self.leased[offset] = item.attempts
            else:
                item.stage = SETTLED
                if offset == self.low:
                    self.low = offset + 1  # the usual: in their order
                else:
                    self.settled.add(offset)
        if found:
            self.revision += 1
            self._rise()
        return found

    def settle(self, item: Item) -> bool:
        """It is done with; False: it is lost."""
        if item.stage == LEASED and self.is_ours:
            item.stage = SETTLED
            self.leased.pop(item.offset, None)
            self.settled.add(item.offset)
            self.revision += 1
            self._rise()
        return item.stage == SETTLED

    def put_back(self, item: Item, counted: bool, error: str) -> bool:
        """It waits again, before all others; False: it is lost."""
        if item.stage == LEASED and self.is_ours:
            item.stage = RETURNED
            self.leased.pop(item.offset, None)
            attempts = item.attempts + counted
            if attempts:
                self.returned[item.offset] = attempts
            fresh = Item(item.body, item.content_type, self, item.offset, attempts, error or item.error)
            self.waiting.appendleft(fresh)
            self.bytes += len(fresh.body)
            self.revision += 1
        return item.stage == RETURNED

    def drop_waiting(self) -> None:
        """All that waits here is settled."""
        for item in self.waiting:
            self.settled.add(item.offset)
            self.returned.pop(item.offset, None)
        self.waiting.clear()
        self.bytes = 0
        self.revision += 1
        self._rise()

    def _rise(self) -> None:
        low, settled = self.low, self.settled
        if not settled:
            return
        while low < self.next and low in settled:
            settled.remove(low)
            low += 1
        self.low = low
