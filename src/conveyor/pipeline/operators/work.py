"""WorkNode: a step whose functions run in workers."""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from typing import Any

from ..base.events import ItemRetried
from ..base.failure import Failure
from ..flow.chunk import ABANDONED, NO_RESULT, Chunk
from ..flow.reorder_buffer import ReorderBuffer
from ..graph.stage import Stage, job_of
from ..supervise.engine_context import EngineContext
from ..supervise.handle import WorkerHandle
from ..supervise.poller import Poller
from ..supervise.pool import WorkerPool
from ..worker.serve import back_off
from .node import Node, Origins

__all__ = ["WorkNode"]

_LOOK_SECONDS = 0.5
# How long a worker may be busy with one item until those behind it are given to others.
_PATIENCE_IDLE = 0.02
_PATIENCE_BUSY = 1.0
# Given to one worker before the next has its turn.
_AT_ONCE = 1024


class WorkNode(Node):
    """Hands items to workers, and puts what comes back into order.

    Args:
        desk: the engine, as far as it concerns nodes.
        specs: what each of its workers does to an item, one after the other. The first says how.
        most: workers at most.
        max_items: items taken and not yet passed on, at most.
        max_bytes: the same in bytes, approximately.
    """

    def __init__(
        self, context: EngineContext, specs: list[Stage], most: int, max_items: int, max_bytes: int
    ) -> None:
        super().__init__(specs[0].name)
        self.spec: Stage = specs[0]
        self.specs: list[Stage] = specs
        self.context = context
        self.now = context.now
        self.keyed = self.spec.key is not None
        self.job = job_of(specs)
        self.window = ReorderBuffer(self.spec.ordered, max_items, max_bytes)
        self.pool = WorkerPool(context, self, most)
        self._waiting: deque[Chunk] = deque()
        self._keyed: list[deque[Chunk]] = [deque() for _ in range(most)] if self.keyed else []
        self._later: list[tuple[float, int, Chunk]] = []
        self._again: list[Chunk] = []  # keyed: to be done before what else comes back with it
        self._available = 0
        self.closed = False
        """Whether nothing more is begun."""
        self._missed: set[Any] = set()
        self.failures = self.retries = 0
        self.came_back = False
        """Whether workers gave something back that is to be given to others."""

    # -- as a node ----------------------------------------------------------------------------------------

    def demand(self) -> int:
        """As many as its workers will soon need."""
        if self.blocked:
            return 0
        if self.closed:
            return self.window.room  # nobody will work on it, but it must not hold up those before
        need = self.pool.need() - self._available
        return max(min(need, self.window.room), 0)

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take items."""
        chunk = Chunk(self.taken, values, origins)
        self.taken += chunk.count
        self.window.add(chunk)
        self._put_in(chunk)

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """They keep their place, but no worker sees them."""
        chunk = Chunk(self.taken, failures, origins)
        self.taken += chunk.count
        self.window.add(chunk)
        chunk.add(failures, 0)
        self.window.grown(chunk, chunk.count, 0)
        self.gather()

    def _put_in(self, chunk: Chunk, first: bool = False) -> None:
        """Have a run wait for a worker."""
        if not self.keyed:
            (self._waiting.appendleft if first else self._waiting.append)(chunk)
            self._available += chunk.count
            return
        key = self.spec.key
        assert key is not None
        while True:
            rest = self.split(chunk, chunk.start + 1) if chunk.count > 1 else None
            try:
                slot = hash(key(chunk.items[0])) % len(self._keyed)
            except Exception as error:
                failure = Failure.here(
                    self.stage, chunk.start, chunk.items[0], error, "its key cannot be had"
                )
                again, instead = self.failed(failure, 0, released=True)
                assert not again
                if chunk.origins is not None and instead is NO_RESULT:
                    self.fanned_out(chunk.origins[0], 0)
                chunk.add([NO_RESULT if instead is ABANDONED else instead], 0, special=True)
                self.grown(chunk, 1, 0)
            else:
                self._keyed[slot].append(chunk)
                self._available += 1
            if rest is None:
                return
            chunk = rest

    def advance(self, now: float) -> bool:
        """Give, and pass on."""
        while self._later and self._later[0][0] <= now:
            chunk = heapq.heappop(self._later)[2]
            self._put_in(chunk, first=True)
        self.came_back = False
        if self.closed and not self.in_flight:
            self.flush()
        done = self._pass_on()
        if self._missed and (missed := set(filter(self.listens_to, self._missed))):
            self._missed -= missed
            self.collect(missed)
            done = True
        if not self.closed and not self.blocked:
            done = self._feed() or done
        return done

    @property
    def held(self) -> int:
        """Items taken, those included that were given up, and results not passed on."""
        return super().held + self.window.items + self.window.given_up

    @property
    def in_flight(self) -> int:
        """Items that workers have."""
        return sum(handle.outstanding for handle in self.pool.handles)

    @property
    def pending(self) -> int:
        """Results that wait: for those of earlier items, or to be taken."""
        return self.window.pending + len(self._out)

    @property
    def waiting(self) -> int:
        """Items that no worker has."""
        return self._available + len(self._later)

    def deadline(self) -> float | None:
        """The next retry, time limit, or look at the slow."""
        times = self.pool.deadlines(self.now())
        if self._later:
            times.append(self._later[0][0])
        return min(times, default=None)

    def cut(self) -> None:
        """Begin nothing more: what workers have not begun is given up."""
        self.closed = True
        for handle in self.pool.handles:
            for chunk in handle.take_back():
                self._put_in(chunk)

    def flush(self) -> None:
        """Pass on what is there, over what will never come."""
        self._emit(*self.window.flush())

    @property
    def done(self) -> bool:
        """Whether nothing is left that will be worked on."""
        if self.closed:
            return self.in_flight == 0 and not self._out
        return super().done

    # -- items out -----------------------------------------------------------------------------------------

    def _feed(self) -> bool:
        if self.keyed:
            return self._feed_keyed()
        gets = self.pool.shares(self._available, self._needs_help())
        fed = bool(gets)
        # In turn, and not all at once: they work on the first while the rest is still on its way.
        while gets and self._waiting and not self.closed:
            for handle in list(gets):
                if self._waiting and not self.closed:
                    chunk = self._next_run(min(gets[handle], _AT_ONCE))
                    gets[handle] -= chunk.count
                    handle.give(chunk)
                if not gets[handle]:
                    del gets[handle]
        return fed

    def _feed_keyed(self) -> bool:
        fed = False
        for slot, waiting in enumerate(self._keyed):
            if not waiting:
                continue
            handle = self.pool.in_slot(slot)
            room = 0 if handle is None else handle.room()
            while room > 0 and waiting:
                self._available -= 1
                room -= 1
                assert handle is not None
                handle.give(waiting.popleft())
                fed = True
        return fed

    def scale_up(self, now: float) -> bool:
        """Start a worker, if there is work for one more; returns whether one was started."""
        if not self._available or self.closed or self.blocked:
            return False
        if self.keyed:
            slots = (
                slot
                for slot, waiting in enumerate(self._keyed)
                if waiting and self.pool.in_slot(slot) is None
            )
            return any(self.pool.start_one(now, slot) for slot in slots)
        spare = sum(not handle.outstanding and not handle.shutting_down for handle in self.pool.handles)
        return self._available > spare and self._needs_help() and self.pool.start_one(now)

    def _needs_help(self) -> bool:
        """Whether one more worker would be there before those that are there have done it all."""
        return self.pool.needs_help(self._available + self.in_flight + self.coming())

    def _next_run(self, most: int) -> Chunk:
        chunk = self._waiting.popleft()
        if chunk.count > most:
            self._waiting.appendleft(self.window.split(chunk, chunk.start + most))
        self._available -= chunk.count
        return chunk

    # -- an item that comes alone --------------------------------------------------------------------------

    @property
    def is_plain(self) -> bool:
        """Whether items may be given to any worker process, and results come one by one."""
        return self.spec.where == "processes" and not self.keyed

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.window.items or self._out or self.closed)

    def give_lone(self, values: list[Any]) -> WorkerHandle | None:
        """Take the only item, and give it to a worker that has nothing to do; None: it waits for one."""
        chunk = Chunk(self.taken, values)
        self.taken += 1
        self.window.add(chunk)
        for handle in self.pool.handles:
            if handle.credit and not handle.outstanding and handle.channel is not None:
                handle.give(chunk)
                return handle
        self._put_in(chunk)
        return None

    def take_lone(self, handle: WorkerHandle) -> list[Any]:
        """The result of that item; empty: it is no plain value, and goes the usual way."""
        values = handle.collect_lone()
        if values:
            self.pool.deaths_in_a_row = self.pool.starts_in_vain = 0
            self.window.pass_lone()
            self.given += 1
        else:
            self.gather()
        return values

    # -- what comes back -------------------------------------------------------------------------------------

    def collect(self, found: set[Any]) -> None:
        """Take the results of those workers that have some."""
        if self.blocked:
            # A descriptor goes on telling; a thread or a coroutine tells once.
            self._missed |= {handle for handle in self.pool.handles if not handle.tells_again} & found
            return
        for handle in list(self.pool.handles):
            if handle.token in found and not self.listens_to(handle):
                if not handle.tells_again:
                    self._missed.add(handle)
            elif handle.token in found and handle.collect():
                self.pool.deaths_in_a_row = 0
                self.pool.starts_in_vain = 0
            if handle.broken is not None or handle.torn:
                self.pool.hear(handle)
        self.gather()

    def listens_to(self, handle: WorkerHandle) -> bool:
        """Whether the worker's results are to be taken now.

        Not while they are very many of one item, and wait for an earlier one that somebody else works on.
        """
        if self.blocked:
            return False
        if not handle.has_partial_results:
            return True
        head = self.window.head
        return not any(other.works_on == head for other in self.pool.handles if other is not handle)

    def gather(self) -> None:
        """Put out the results whose turn has come."""
        self._emit(*self.window.release())

    def come_back(self, chunks: list[Chunk], slot: int | None = None) -> None:
        """Runs that a worker had and has not begun."""
        if slot is not None:
            chunks, self._again = [*self._again, *chunks], []
        self.came_back = self.came_back or bool(chunks)
        for chunk in reversed(chunks):
            if slot is not None:
                self._keyed[slot].appendleft(chunk)
                self._available += chunk.count
            else:
                self._put_in(chunk, first=True)

    def take_from_the_stuck(self, now: float) -> float:
        """Take back what waits behind a slow item, and would be done sooner by somebody else.

        Returns:
            Seconds until it is to be done next.
        """
        pool = self.pool
        soonest = _LOOK_SECONDS
        if self.keyed or pool.most < 2:
            return soonest
        # It costs, and a silent worker may only be waiting for a processor: in haste only if
        # somebody has nothing to do.
        idle = not self._available and (
            len(pool.handles) < pool.size
            or any(handle.ready and not handle.outstanding for handle in pool.handles)
        )
        patience = _PATIENCE_IDLE if idle else _PATIENCE_BUSY
        for handle in pool.handles:
            if handle.shutting_down:
                continue
            overdue = handle.overdue(now, patience)
            if overdue >= 0:
                self.come_back(handle.relieve())
            else:
                soonest = min(soonest, -overdue)
        return soonest

    def listen(self, poller: Poller) -> None:
        """Have results watched for, unless nobody takes them."""
        for handle in self.pool.handles:
            if handle.tells_again:
                handle.listen(poller, self.listens_to(handle))

    @property
    def shares_memory(self) -> bool:
        """Whether an item is of no further use when a worker has begun it, which may write into it."""
        return all(not spec.retries and spec.on_error in ("stop", "skip") for spec in self.specs)

    # -- as the owner of hands ----------------------------------------------------------------------------------

    def grown(self, chunk: Chunk, count: int, by: int) -> None:
        """A run got results."""
        self.window.grown(chunk, count, by)

    def split(self, chunk: Chunk, number: int) -> Chunk:
        """Cut a run in two."""
        return self.window.split(chunk, number)

    def fanned_out(self, origin: Any, count: int) -> None:
        """An item that came of `origin` became so many."""
        self.context.fanned_out(origin, count)

    def failed(self, failure: Failure, link: int, released: bool, tried: int = 0) -> tuple[bool, Any]:
        """Decide on an item that failed: whether to try it again, and if not, what takes its place."""
        spec = self.specs[link]
        attempts = tried + failure.attempts
        failure = dataclasses.replace(failure, stage=spec.name, attempts=attempts)
        # The worker tries a keyed item again itself, unless it is the worker that is gone.
        by_us = not self.keyed or failure.kind in ("WorkerLost", "ItemTimeout")
        if attempts <= spec.retries and not released and by_us and not self.closed:
            self.retries += 1
            return True, failure
        self.failures += 1
        return False, self.context.item_failed(failure, spec.on_error)

    def retry(self, chunk: Chunk, failure: Failure) -> None:
        """A run of one item, for which `failed` has said that it is to be tried again."""
        chunk.attempts = failure.attempts
        if self.keyed:
            self._again.append(chunk)
            self.context.tell(ItemRetried(failure, 0.0))
            return
        spec = next((spec for spec in self.specs if spec.name == failure.stage), self.spec)
        seconds = back_off(spec.backoff, failure.attempts, self.context.uniform) if spec.backoff else 0.0
        heapq.heappush(self._later, (self.now() + seconds, chunk.start, chunk))
        self.context.tell(ItemRetried(failure, seconds))
