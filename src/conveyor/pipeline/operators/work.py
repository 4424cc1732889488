"""WorkNode: a step whose functions run in workers."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..base.failure import Failure
from ..base.retry import Retry
from ..flow.chunk import NO_RESULT, Chunk
from ..flow.ledger import OUT, Ledger
from ..graph.stage import Stage, job_of
from ..supervise.engine_context import EngineContext
from ..supervise.handle import WorkerHandle
from ..supervise.lifecycle import lost_rest
from ..supervise.limits import Limits
from ..supervise.poller import Poller
from ..supervise.pool import WorkerPool
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
        context: the engine, as far as it concerns nodes.
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
        self.job = job_of(specs, most)
        self.seeded = False
        self._rest: list[
            tuple[int, int, list[Any]]
        ] = []  # of an ordered stage: rank, start, and what it gave
        self._is_tracked = self._is_leaving = False
        self.ledger = Ledger(self.spec.ordered, max_items, max_bytes, most if self.keyed else 0)
        self.buffer = self.ledger.buffer
        if isinstance(self.spec.max_in_flight, str):
            self.buffer.expect_large()
        self.pool = WorkerPool(context, self, most, self.limits())
        self._slots = most
        self.closed = False
        """Whether nothing more is begun."""
        self._missed: set[Any] = set()
        self.failures = self.retries = 0
        self.came_back = False
        """Whether workers gave something back that is to be given to others."""

    def limits(self) -> Limits:
        """How long its workers may take for what they are at."""
        return Limits(self.spec)

    # -- as a node ----------------------------------------------------------------------------------------

    def demand(self) -> int:
        """As many as its workers will soon need."""
        if self.blocked:
            return 0
        if self.closed:
            return self.buffer.room  # nobody will work on it, but it must not hold up those before
        need = self.pool.need() - self.ledger.available
        return max(min(need, self.buffer.room), 0)

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take items."""
        self.taken += len(values)
        self._is_tracked = origins is not None
        self._put_in(self.ledger.take(values, origins))

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """They keep their place, but no worker sees them."""
        self.taken += len(failures)
        chunk = self.ledger.take(failures, origins)
        chunk.add(failures, 0)
        self.buffer.grown(chunk, chunk.count, 0)
        self.gather()

    def _put_in(self, chunk: Chunk, first: bool = False) -> None:
        """Have a chunk wait for a worker."""
        if not self.keyed:
            self.ledger.wait(chunk, first)
            return
        key = self.spec.key
        assert key is not None
        while True:
            rest = self.split(chunk, chunk.start + 1) if chunk.count > 1 else None
            try:
                slot = hash(key(chunk.items[0])) % self._slots
            except Exception as error:
                failure = Failure.here(
                    self.stage, chunk.start, chunk.items[0], error, "its key cannot be had"
                )
                verdict = self.failed(failure, 0, chunk, may_retry=False)
                assert type(verdict) is not Retry
                if chunk.origins is not None and verdict is NO_RESULT:
                    self.fanned_out(chunk.origins[0], 0)
                chunk.end_with(verdict)
                self.grown(chunk, 1, 0)
            else:
                self.ledger.wait_in(slot, chunk)
            if rest is None:
                return
            chunk = rest

    def advance(self, now: float) -> bool:
        """Give, and pass on."""
        for chunk in self.ledger.due(now):
            self._put_in(chunk, first=True)
        self.came_back = False
        if self.closed and not self.in_flight:
            self.flush()
        if self.pool.gives_at_end and self._is_through:
            self._see_off()
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
        return super().held + self.buffer.items + self.buffer.given_up

    @property
    def in_flight(self) -> int:
        """Items that workers have."""
        return sum(handle.outstanding for handle in self.pool.handles)

    @property
    def pending(self) -> int:
        """Results that wait: for those of earlier items, or to be taken."""
        return self.buffer.pending + len(self._out)

    @property
    def waiting(self) -> int:
        """Items that no worker has."""
        return self.ledger.waiting

    def deadline(self) -> float | None:
        """The next retry, time limit, or look at the slow."""
        times = self.pool.deadlines(self.now())
        if (due := self.ledger.next_due) is not None:
            times.append(due)
        return min(times, default=None)

    def cut(self) -> None:
        """Begin nothing more: what workers have not begun is given up."""
        self.closed = True
        for handle in self.pool.handles:
            for chunk in handle.take_back():
                self._put_in(chunk)

    def flush(self) -> None:
        """Pass on what is there, over what will never come."""
        self._emit(*self.buffer.flush())

    @property
    def _is_through(self) -> bool:
        """Whether no item is left that will be worked on."""
        if self.closed:
            return self.in_flight == 0 and not self._out
        return super().done

    def _see_off(self) -> None:
        """Have the workers leave, and take what they still have."""
        if not self._is_leaving:
            self._is_leaving = True
            self.pool.shut_all_down()
        self.pool.see_to_the_last()
        if self._rest and self.pool.has_left:
            rest, self._rest = sorted(self._rest, key=lambda entry: entry[:2]), []
            self._emit([value for _, _, values in rest for value in values], None)

    @property
    def done(self) -> bool:
        """Whether nothing is left that will be worked on, nor anything that its workers might still give."""
        if not self._is_through:
            return False
        return not self.pool.gives_at_end or (self._is_leaving and self.pool.has_left and not self._rest)

    # -- items out -----------------------------------------------------------------------------------------

    def _feed(self) -> bool:
        if self.keyed:
            return self._feed_keyed()
        gets = self.pool.shares(self.ledger.available, self._needs_help())
        fed = bool(gets)
        # In turn, and not all at once: they work on the first while the rest is still on its way.
        while gets:
            for handle in list(gets):
                chunk = None if self.closed else self.ledger.next(min(gets[handle], _AT_ONCE))
                if chunk is None:
                    return fed
                gets[handle] -= chunk.count
                handle.give(chunk)
                if not gets[handle]:
                    del gets[handle]
        return fed

    def _feed_keyed(self) -> bool:
        fed = False
        for slot in list(self.ledger.waiting_slots()):
            handle = self.pool.in_slot(slot)
            if handle is None:
                continue
            room = handle.room()
            while room > 0 and (chunk := self.ledger.next_in(slot)) is not None:
                room -= 1
                handle.give(chunk)
                fed = True
        return fed

    def scale_up(self, now: float) -> bool:
        """Start a worker, if there is work for one more; returns whether one was started."""
        if not self.ledger.available or self.closed or self.blocked:
            return False
        if self.keyed:
            slots = [slot for slot in self.ledger.waiting_slots() if self.pool.in_slot(slot) is None]
            return any(self.pool.start_one(now, slot) for slot in slots)
        spare = sum(not handle.outstanding and not handle.shutting_down for handle in self.pool.handles)
        return self.ledger.available > spare and self._needs_help() and self.pool.start_one(now)

    def _needs_help(self) -> bool:
        """Whether one more worker would be there before those that are there have done it all."""
        return self.pool.needs_help(self.ledger.available + self.in_flight + self.coming())

    # -- an item that comes alone --------------------------------------------------------------------------

    @property
    def is_plain(self) -> bool:
        """Whether items may be given to any worker process, and results come one by one."""
        spec = self.spec
        renews = spec.max_items_per_worker is not None or spec.max_worker_memory is not None
        return spec.where == "processes" and not self.keyed and not renews

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.buffer.items or self._out or self.closed)

    def give_lone(self, values: list[Any]) -> WorkerHandle | None:
        """Take the only item, and give it to a worker that has nothing to do; None: it waits for one."""
        self.taken += 1
        chunk = self.ledger.take(values)
        for handle in self.pool.handles:
            if handle.credit and not handle.outstanding and handle.channel is not None:
                chunk.state = OUT
                handle.give(chunk)
                return handle
        self._put_in(chunk)
        return None

    def take_lone(self, handle: WorkerHandle) -> list[Any]:
        """The result of that item; empty: it is no plain value, and goes the usual way."""
        values = handle.collect_lone()
        if values:
            self.pool.deaths_in_a_row = self.pool.starts_in_vain = 0
            self.buffer.pass_lone()
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
            if handle.has_news:
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
        head = self.buffer.head
        return not any(other.works_on == head for other in self.pool.handles if other is not handle)

    def gather(self) -> None:
        """Put out the results whose turn has come."""
        self._emit(*self.buffer.release())

    def come_back(self, chunks: list[Chunk], slot: int | None = None) -> None:
        """Chunks that a worker had and has not begun."""
        if slot is not None:
            self.came_back = self.ledger.come_back_to(slot, chunks) or self.came_back
            return
        self.came_back = self.came_back or bool(chunks)
        for chunk in reversed(chunks):
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
        idle = not self.ledger.available and (
            len(pool.handles) < pool.size
            or any(handle.ready and not handle.outstanding for handle in pool.handles)
        )
        patience = _PATIENCE_IDLE if idle else _PATIENCE_BUSY
        # One more is not worth its start while items are as quick as they were: unless somebody is at a slow one.
        waits_for_start = self.ledger.available > 0 and pool.present < pool.size
        for handle in pool.handles:
            if handle.shutting_down:
                continue
            is_last = waits_for_start and handle.ready and handle.outstanding == 1 and not handle.is_stuck
            overdue = handle.overdue(now, _PATIENCE_IDLE if is_last else patience, is_last)
            if overdue >= 0:
                self.come_back(handle.relieve())
                self.came_back = self.came_back or is_last
            else:
                soonest = min(soonest, -overdue)
        return soonest

    def listen(self, poller: Poller) -> None:
        """Have results watched for, unless nobody takes them."""
        for handle in self.pool.handles:
            if handle.tells_again:
                handle.listen(poller, self.listens_to(handle))

    @property
    def identity(self) -> tuple[int, int, int]:
        """Rank, start and seed of the worker that is started now."""
        return self.pool.identity

    def other_form(self, item: Any, error: Exception) -> Any:
        """See `StagePort`: an item is sent as it is."""
        return None

    def said(self, pid: int, what: str, data: bytes) -> None:
        """A worker has logged, warned of or printed something."""
        self.context.said(pid, what, data)

    def take_rest(self, values: list[Any], rank: int, start: int) -> None:
        """Take what a worker gave when it tore down: in an ordered stage that comes behind all else."""
        if self._is_tracked:
            self.context.fail(lost_rest(self.stage))
        elif self.spec.ordered:
            self._rest.append((rank, start, values))
        else:
            self._emit(values, None)

    @property
    def shares_memory(self) -> bool:
        """Whether an item is of no further use when a worker has begun it, which may write into it."""
        return all(not spec.retries and spec.on_error in ("stop", "skip") for spec in self.specs)

    @property
    def executor(self) -> Any:
        """Who runs it, if that is not this program."""
        return self.spec.executor

    @property
    def one_at_a_time(self) -> bool:
        """Whether an item is to travel alone, since each has a time limit."""
        return self.spec.timeout is not None

    # -- for its workers -----------------------------------------------------------------------------------------

    def grown(self, chunk: Chunk, count: int, by: int) -> None:
        """A chunk got results."""
        self.buffer.grown(chunk, count, by)

    def split(self, chunk: Chunk, number: int) -> Chunk:
        """Cut a chunk in two."""
        return self.buffer.split(chunk, number)

    def fanned_out(self, origin: Any, count: int) -> None:
        """An item that came of `origin` became so many."""
        self.context.fanned_out(origin, count)

    def failed(self, failure: Failure, link: int, chunk: Chunk, may_retry: bool = True) -> Any:
        """What becomes of an item that failed: a `Retry`, or what takes its place among the results.

        Args:
            failure: the failure.
            link: which of the stage's functions raised.
            chunk: the item, alone. If some of its results were handed out already, it cannot be tried again.
            may_retry: whether another attempt could be any better.
        """
        spec = self.specs[link]
        failure = dataclasses.replace(failure, stage=spec.name, attempts=chunk.attempts + failure.attempts)
        verdict = self.context.decide(
            failure,
            spec,
            may_retry=may_retry and not (chunk.partial_results_released or self.closed),
            origin=None if chunk.origins is None else chunk.origins[0],
        )
        if type(verdict) is Retry:
            self.retries += 1
        else:
            self.failures += 1
        return verdict

    def retry(self, chunk: Chunk, verdict: Retry) -> None:
        """A chunk of one item is to be tried again, as `failed` has said."""
        chunk.attempts = verdict.failure.attempts
        if self.keyed:
            self.ledger.hold_back(chunk)
        else:
            self.ledger.back_off(chunk, self.now() + verdict.seconds)
