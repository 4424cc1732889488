"""WorkerHandle: one worker, as its stage sees it."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..base.failure import Failure
from ..flow.chunk import Chunk
from ..worker.messages import AGAIN, SEEDED, STOP, wrap
from .inbox import Inbox
from .settlement import Settlement
from .share_memory import LEAST_SHARED, share_memory
from .stint import Stint

__all__ = ["WorkerHandle"]


class WorkerHandle(Inbox):
    """A worker and the items that it has.

    What subclasses differ in is how the worker lives, and `_send`, `_take` and `_recall`.
    """

    shares_memory = False
    """Whether it may look at large items where they lie in this process."""
    shutting_down_since = 0.0
    """When it was first told to leave."""
    overdue_in: Stint | None = None
    """What it took too long for, so that it was killed."""
    ended_for: Exception | None = None
    """What the item fails with that it was ended for; None: it was not."""
    end = ""
    """How it ends, if that is not as it was told to."""
    place = 0
    """Its number among the workers of its stage, from 0; the next one after it is gone takes it over."""

    def close(self) -> None:
        """Wait for the end of a worker that is ending, and let go of what belongs to it."""
        self.status_page.close()

    def shut_down(self) -> None:
        """Tell it to leave when it has done what it has."""
        self.shutting_down_since = self.shutting_down_since or self.now()
        self.shutting_down = True
        self.credit = 0
        self._send([(STOP,)])

    # -- items -----------------------------------------------------------------------------------------

    @property
    def works_on(self) -> int:
        """Where the chunk starts that it works on; -1: it has none."""
        return self._chunks[0].start if self._chunks else -1

    @property
    def origin(self) -> Any:
        """What of the source the item came of that it works on; None: it has none, or nobody keeps account of that."""
        chunk = self._chunks[0] if self._chunks else None
        return None if chunk is None or chunk.origins is None else chunk.origins[len(chunk.results)]

    def origins(self) -> Iterator[Any]:
        """What the items came of that it has, and has given no result of."""
        for chunk in self._chunks:
            if chunk.origins is not None:
                yield from chunk.origins[len(chunk.results) :]

    def has_origin(self, origin: Any) -> bool:
        """Whether it has an item that came of this, and no result of it."""
        return any(one is origin for one in self.origins())

    @property
    def attempt(self) -> int:
        """How often the item that it works on has been begun, as far as that is known."""
        before = self._chunks[0].attempts if self._chunks else 0
        return before + self.status_page.attempts(self.finished)

    @property
    def has_partial_results(self) -> bool:
        """Whether it has given the first of very many results of an item, which wait for their turn."""
        return bool(self._chunks) and bool(self._chunks[0].partial_results)

    def room(self) -> int:
        """How many items to give it now; 0 while it has enough."""
        # In larger portions, as long as it does not run dry.
        return self.credit - self.outstanding if self.outstanding <= self.credit >> 1 else 0

    def give(self, chunk: Chunk) -> None:
        """Give a chunk to the worker."""
        if not self.outstanding:
            self._since = self.now()
        self._bytes += chunk.weight
        messages = (
            share_memory(chunk.items)
            if self.shares_memory and chunk.weight >= LEAST_SHARED * chunk.count
            else None
        )
        if messages and self._stage_port.seeded:
            messages = _with_numbers(messages, chunk.start)
        try:
            self._send(messages or self._wrap(chunk))
        except Exception as error:
            sent: int = getattr(error, "items_put", 0)
            if sent:  # there was no memory for the next
                rest = self._stage_port.split(chunk, chunk.start + sent)
                self._chunks.append(chunk)
                self.outstanding += sent
                chunk = rest
            self._give_each(chunk)
            return
        self._chunks.append(chunk)
        self.outstanding += chunk.count

    def _wrap(self, chunk: Chunk) -> list[Any]:
        """The messages that carry its items; to a worker that tries items again by itself, with how often they were."""
        if chunk.attempts and self._stage_port.keyed:
            messages: list[Any] = [(AGAIN, chunk.attempts, chunk.items[0])]
        else:
            messages = wrap(chunk.items)
        return _with_numbers(messages, chunk.start) if self._stage_port.seeded else messages

    def _send_alone(self, chunk: Chunk) -> None:
        try:
            self._send(self._wrap(chunk))
        except Exception as error:
            other = self._stage_port.other_form(chunk.items[0], error)
            if other is None:
                raise
            self._send([other])

    def _give_each(self, chunk: Chunk) -> None:
        """At least one of these cannot be sent, and none was."""
        for number in range(chunk.start, chunk.start + chunk.count):
            rest = self._stage_port.split(chunk, number + 1) if chunk.count > 1 else None
            try:
                self._send_alone(chunk)
            except Exception as error:
                what = (
                    "no memory to send it" if isinstance(error, MemoryError) else "the item cannot be pickled"
                )
                self._settle(
                    chunk, Failure.here(self._stage_port.stage, number, chunk.items[0], error, what), 0
                )
            else:
                self._chunks.append(chunk)
                self.outstanding += 1
            if rest is None:
                return
            if self._stage_port.closed:  # by this failure
                self._stage_port.come_back([rest])
                return
            chunk = rest

    # -- items back ---------------------------------------------------------------------------------------

    def overdue(self, now: float, patience: float, others_wait: bool = False) -> float:
        """Seconds beyond `patience` for which it has been busy with one item while others wait behind it.

        Negative: how long until then; -inf: nothing waits. An item that is as slow as those before it
        is expected to be gets more patience.

        Args:
            now: the time.
            patience: seconds.
            others_wait: for a worker; whatever waits behind it.
        """
        if not self.ready:  # its first item waits for its setup
            return now - self.started - patience if self.outstanding else float("-inf")
        if self.outstanding < (1 if others_wait else 2) or self.has_results():
            return float("-inf")
        return now - self._since - max(patience, 4 * (self.seconds or 0.0))

    def is_silent(self, now: float, patience: float) -> bool:
        """Whether it has given no result for so long, and for several times as long as all that it has should take."""
        return now - self._since > patience + 4 * self.outstanding * (self.seconds or 0.0)

    def take_back(self) -> list[Chunk]:
        """Take back what it has not begun: chunks, to be given to somebody else."""
        count = self._recall()
        if self.shutting_down:
            self.shut_down()  # what told it to leave may have been among it
        if not self.ready:
            self.credit = 0
        self.outstanding -= count
        # It takes them in order, so what was still there are the last ones.
        back: deque[Chunk] = deque()
        while count:
            chunk = self._chunks.pop()
            if chunk.missing > count or (chunk.missing == count and chunk.results):
                rest = self._stage_port.split(chunk, chunk.start + chunk.count - count)
                back.appendleft(rest)
                if chunk.missing:
                    self._chunks.append(chunk)
                else:
                    self._stage_port.grown(chunk, 0, 0)  # the split left no item without a result
                break
            back.appendleft(chunk)
            count -= chunk.count
        return list(back)

    @property
    def is_stuck(self) -> bool:
        """Whether it is at an item that takes so long that it gets no other until that is done."""
        return self.ready and not self.credit and not self.shutting_down

    def relieve(self) -> list[Chunk]:
        """Take back what waits behind an item that takes long; it gets nothing more until that is done."""
        back = self.take_back()
        if self.outstanding:
            self.credit = 0
        return back

    def settle(self) -> Settlement:
        """Take what a worker leaves that does nothing more: it is gone, or was told that it is to begin nothing.

        The order matters. First its results: an item that has one was finished, whatever became of the worker. Then
        what it has not taken, which anybody may have. What is then left it had taken, and the first of it without a
        result is what it was at.
        """
        self.collect()
        not_begun = self.take_back()
        if not self._chunks:
            return Settlement(None, not_begun)
        first = self._chunks[0]
        return Settlement((first.next_number, first.item(first.next_number)), not_begun)

    def lose(self, left: Settlement, error: Exception, where: str, link: int) -> list[Chunk]:
        """The item that the worker was at has failed; returns what comes back of all that it had.

        Args:
            left: what it has left.
            error: what the item failed with.
            where: the place in the code, if it is known.
            link: which of the stage's functions was at work.
        """
        if self._chunks:
            attempts = self.status_page.attempts(self.finished)
            self._fail(link, attempts, pickle.dumps(error), type(error).__name__, str(error), where, "")
        return self.give_back(left)

    def give_back(self, left: Settlement) -> list[Chunk]:
        """The worker has begun nothing: all that it had comes back."""
        back = [*self._chunks, *left.not_begun]
        self._chunks.clear()
        self.outstanding = 0
        return back


def _with_numbers(messages: list[Any], start: int) -> list[Any]:
    return [(SEEDED, start + index, message) for index, message in enumerate(messages)]
