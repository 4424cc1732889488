"""WorkerPool: the workers of one stage: started, watched, replaced, and shut down."""

from __future__ import annotations

import dataclasses
import heapq
from typing import Any

from ...errors import ItemTimeout, WorkerLost, WorkerPoolBroken
from ..base.events import CrashLoop, FewerWorkers, WorkerDied
from ..host.deferred_signals import deferred_signals
from ..worker.identity import mix, takes_worker
from ..worker.messages import STRANDED
from ..worker.status_page import STEPS
from .engine_context import EngineContext
from .handle import WorkerHandle
from .leaving import Leaving
from .lifecycle import has_teardown, own_links
from .limits import Limits
from .pool_port import PoolPort
from .stillborn import error_at_start, error_of_stranded
from .stint import Stint
from .worker_stats import WorkerStats, stats_of

__all__ = ["WorkerPool"]

# After the second death in a row, a replacement waits so long, and twice as long after each further one.
_REPLACE_SECONDS = 0.05
_REPLACE_MOST = 5.0
_SLOWEST = 10
# The first worker of forked ones is there so soon, and its first result should not wait for the second's start.
_FIRST_SECONDS = 0.02
# Once it is there, its results tell soon how long items take, and whether it needs help. Not the first few: in a new
# process, whatever is touched for the first time takes long, and on a busy machine one of two items is interrupted.
_TELLING_SECONDS = 0.003
_TELLING_ITEMS = 8
# Starting one keeps the engine busy, too, and what it shares with a new process is slow to write to for a while:
# help must save so many times what it takes to start.
_WORTH = 4
# So long after the last look at time limits, the engine was away: in a sink, as a rule.
_AWAY_SECONDS = 0.1


class WorkerPool:
    """Workers that all do the same.

    Args:
        context: the engine.
        node: whose items they work on.
        most: workers at most.
        limits: how long they may take; None: as long as the stage says.
    """

    def __init__(
        self, context: EngineContext, node: PoolPort, most: int, limits: Limits | None = None
    ) -> None:
        self._context = context
        self._node = node
        self.most = most
        self.size = 1 if node.spec.workers == "auto" else most
        """How many there should be, once there is work for them."""
        self.largest = 0
        """How many there were at most."""
        self.crash_limit = max(10, 3 * most)
        self.handles: list[WorkerHandle] = []
        self._slots: dict[int, WorkerHandle] = {}
        self._free_places: list[int] = []  # a heap: below the number of workers there are, and nobody's
        self.restarts: dict[int, int] = {}
        """For each place, how many workers ended there in a way that was not wanted."""
        self.deaths_in_a_row = self.starts_in_vain = 0
        self.started = self.deaths = self.renewed = 0
        self._starts: dict[int, int] = {}  # by place, how many workers were started there
        self.identity = (0, 0, 0)
        """Rank, start and seed of the worker that is started now, or was last."""
        self.run_seed = 0
        """What the seeds of workers are made of."""
        self.gives_at_end = node.spec.where != "executor" and any(
            has_teardown(spec.function) for spec in node.specs
        )
        """Whether results may come when its workers tear down."""
        self._names_last = self.gives_at_end and any(
            takes_worker(getattr(spec.function, "teardown", None)) for spec in node.specs
        )
        self._is_over = self._has_last = False
        self._kept: WorkerHandle | None = None  # it leaves when all others have
        self._not_before = self._checked = 0.0
        self.limits = limits or Limits(node.spec)
        self._leaving = Leaving(context, node.specs, self.limits)
        self.worker_stats: list[WorkerStats] = []
        """Of those that are gone."""
        self._histogram = [0] * STEPS
        self._slowest: list[tuple[float, int, Any]] = []
        self._memory: dict[WorkerHandle, int] = {}

    # -- how many --------------------------------------------------------------------------------------

    def need(self) -> int:
        """Items that are needed soon, so that nobody waits."""
        need = 0
        missing = self.size
        for handle in self.handles:
            missing -= not handle.shutting_down
            if handle.credit > handle.outstanding:
                need += handle.credit - handle.outstanding
        return need + max(missing, 0)

    @property
    def present(self) -> int:
        """How many there are that are to stay."""
        return sum(not handle.shutting_down for handle in self.handles)

    @property
    def seconds_per_item(self) -> float:
        """As lately measured; 0: not known."""
        known = [handle.seconds for handle in self.handles if handle.seconds is not None]
        return sum(known) / len(known) if known else 0.0

    def in_slot(self, slot: int) -> WorkerHandle | None:
        """The worker for keys of that slot."""
        return self._slots.get(slot)

    def start_one(self, now: float, slot: int | None = None) -> bool:
        """Start a worker, if there may be one more; returns whether one was started."""
        if slot is None:
            # No two workers have a place at the same time, though one is about to leave it.
            if self.present >= self.size or len(self.handles) >= self.most:
                return False
        elif slot in self._slots or any(handle.place == slot for handle in self.handles):
            return False
        if now < self._not_before or now < self._second_not_before() or self._context.ending:
            return False
        return self._start(slot)

    def _start(self, slot: int | None) -> bool:
        node = self._node
        job = node.job
        if node.spec.where in ("threads", "coroutines"):
            job = dataclasses.replace(job, links=own_links(node.specs, self.most))
        try:
            with deferred_signals():
                place = slot if slot is not None else self._free_place()
                start = self._starts.get(place, 0) + 1
                self.identity = place, start, mix(self.run_seed, node.spec.name, place, start)
                handle = self._context.start_worker(node, job, node.spec.where)
                handle.place = place
                self._starts[place] = start
                if self._free_places and self._free_places[0] == place:
                    heapq.heappop(self._free_places)
                self.handles.append(handle)
        except OSError as error:  # no memory, or no more processes allowed
            if not self.handles:
                self._context.fail(WorkerPoolBroken(f"no worker process could be started: {error}"))
                return False
            self.size = self.most = len(self.handles)
            self._context.tell(FewerWorkers(self.size, error))
            return False
        self.started += 1
        self.largest = max(self.largest, len(self.handles))
        if slot is not None:
            self._slots[slot] = handle
        return True

    def _free_place(self) -> int:
        if self._node.keyed:  # places are slots
            taken = {handle.place for handle in self.handles}
            return next(place for place in range(self.most + 1) if place not in taken)
        return self._free_places[0] if self._free_places else len(self.handles)

    def _second_not_before(self) -> float:
        if len(self.handles) != 1 or self.size == 1:
            return 0.0
        first = self.handles[0]
        if not first.ready:
            return first.started + _FIRST_SECONDS
        return first.ready_at + _TELLING_SECONDS if first.finished < _TELLING_ITEMS else 0.0

    def needs_help(self, items: float) -> bool:
        """Whether so many items would take much longer than it takes to start a worker, as far as that is known."""
        starts = [handle.ready_at - handle.started for handle in self.handles if handle.ready]
        free = sum(not handle.is_stuck for handle in self.handles)
        seconds = self.seconds_per_item
        return not starts or not free or not seconds or items * seconds / free > _WORTH * min(starts)

    def shares(self, items: int, with_help: bool) -> dict[WorkerHandle, int]:
        """How many of so many items each worker that needs more gets now: who has least comes first.

        Args:
            with_help: leave something to those that are still to be started.
        """
        among = self.size if with_help else self.present
        hungry = [handle for handle in self.handles if handle.room() > 0]
        hungry.sort(key=lambda handle: (not handle.ready, handle.outstanding))
        gets: dict[WorkerHandle, int] = {}
        for handle in hungry:
            if items:
                gets[handle] = min(handle.room(), -(-items // among))
                items -= gets[handle]
        return gets

    # -- watching ----------------------------------------------------------------------------------------

    def deadlines(self, now: float) -> list[float]:
        """When something is to be done though nothing happens."""
        times: list[float] = []
        not_before = max(self._not_before, self._second_not_before())
        if not_before > now and self._node.waiting:
            times.append(not_before)
        shortest = self.limits.shortest
        if shortest is not None:
            # What has not begun yet may begin now.
            alive = [handle for handle in self.handles if handle.overdue_in is None]
            times += [min(self.limits.due(handle)[0], now + shortest) for handle in alive]
        return times

    def check_limits(self, now: float, look: bool) -> None:
        """Kill those workers that take too long for what they are at.

        Args:
            now: the time.
            look: it is time to look after everything.
        """
        if self.limits.shortest is None and not look:
            return
        # A worker that waits for its results to be taken is not late; whoever takes none, or was away, is.
        late = now - self._checked > _AWAY_SECONDS
        self._checked = now
        for handle in list(self.handles):
            if (late or not self._node.listens_to(handle)) and handle.has_results():
                handle.held_up_at = now
            due, stint = self.limits.due(handle)
            if now > due and handle.overdue_in is not stint:
                self._end_overdue(handle, stint)

    def _end_overdue(self, handle: WorkerHandle, stint: Stint) -> None:
        handle.overdue_in = stint
        handle.kill()
        if stint is Stint.ITEM:
            handle.ended_for = ItemTimeout(
                f"it took longer than {self.limits.of_item(handle):g} s; its worker was replaced"
            )
        elif stint is Stint.SETUP:
            self.broken(handle, self._leaving.too_long(handle, stint))
        elif stint is Stint.TEARDOWN:
            handle.torn.append(self._leaving.too_long(handle, stint))
        else:
            self._leaving.stuck(handle)

    def supervise(self, found: set[Any], look: bool) -> None:
        """Settle those that have ended by themselves."""
        for handle in list(self.handles):
            if look:
                self._note_memory(handle)
            if (look or handle.may_be_gone(found)) and handle.gone():
                self._settle_dead_worker(handle)

    def _settle_dead_worker(self, handle: WorkerHandle) -> None:
        """A worker has ended: what it finished counts, what it was at has failed, all else goes to others."""
        node = self._node
        handle.collect()
        node.gather()
        self.hear(handle)
        if handle not in self.handles:
            return
        if not_begun := error_at_start(handle, node.specs[0].name):
            self._give_up(handle, not_begun)
            return
        left = handle.settle()
        slot = self._slot_of(handle)
        if handle.shutting_down and left.culprit is None:
            node.come_back(left.not_begun, slot)
            self._see_out(handle)
            return
        where = ""
        at = handle.status_page.link
        link = at if left.culprit is not None and at < len(node.specs) else 0
        error: Exception
        if handle.ended_for is not None:
            end = "timed out" if handle.overdue_in is Stint.ITEM else "stopped"
            error = handle.ended_for
        else:
            exitcode = handle.exitcode
            calls = handle.crash()
            cause = self._context.exit_cause(exitcode)
            number, item = left.culprit or (None, None)
            death = WorkerDied(node.specs[link].name, handle.pid, exitcode, number, item, calls, cause)
            end = death.reason
            error = WorkerLost(f"its worker process {handle.pid} {death.fate}", handle.pid, exitcode)
            where = ", called from ".join(calls)
            self._context.tell(death)
            self._count_death(death)
            handle.end_programs()
        node.come_back(handle.lose(left, error, where, link), slot)
        node.gather()
        self._remove(handle, end)

    def _count_death(self, death: WorkerDied) -> None:
        self.deaths += 1
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row > 1:
            pause = min(_REPLACE_SECONDS * 2.0 ** (self.deaths_in_a_row - 2), _REPLACE_MOST)
            self._not_before = self._context.now() + pause
        if self.deaths_in_a_row == self.crash_limit:
            self._context.tell(CrashLoop(self.deaths_in_a_row, death))
            self._context.fail(
                WorkerPoolBroken(
                    f"{self.deaths_in_a_row} workers of stage {death.stage!r} died one after another and none "
                    f"finished an item; the last {death.fate}"
                )
            )

    def hear(self, handle: WorkerHandle) -> None:
        """Act on what a worker said of its setup or teardown."""
        if handle.broken is not None and handle.broken[0] == STRANDED:
            self._give_up(handle, error_of_stranded(self._node.specs[0].name, *handle.broken[1:]))
        elif handle.broken is not None:
            self.broken(handle, handle.broken[1:])
        if handle.torn:
            self._leaving.hear(handle)
        if handle.rest:
            values, handle.rest = handle.rest, []
            self._node.take_rest(values, handle.place, handle.status_page.identity.start)
        if handle.worn:
            self._renew(handle)
        handle.has_news = False

    def _renew(self, handle: WorkerHandle) -> None:
        """A worker has done as much as it may, and tears down: what it has not begun is for others."""
        handle.worn = False
        self.renewed += 1
        if handle is self._kept:  # it had said so before it was told to be the last, which it is not
            self._kept, self._has_last = None, False
        self._note_memory(handle)
        self._node.come_back(handle.take_back(), self._slot_of(handle))
        handle.shut_down()

    def broken(self, handle: WorkerHandle, words: tuple[Any, ...]) -> None:
        """A worker could not be set up; it has ended, or does so soon, and another may take its place.

        Args:
            handle: the worker.
            words: what it said, or what is to be said of it: fields of a failure.
        """
        handle.broken = None
        handle.end = "could not be set up"
        left = handle.settle()
        slot = self._slot_of(handle)
        handle.shut_down()
        if slot is not None:
            del self._slots[slot]
        self._node.come_back(handle.give_back(left), slot)
        self._node.gather()
        self.starts_in_vain += 1
        if self.starts_in_vain > self._node.specs[int(words[0])].retries:
            self._context.fail(self._leaving.error_of(handle, words, "setup"))
        else:
            self._not_before = self._context.now() + _REPLACE_SECONDS * 2.0**self.starts_in_vain

    def _give_up(self, handle: WorkerHandle, error: Exception) -> None:
        """No worker would fare better than this one."""
        self._node.come_back(handle.give_back(handle.settle()), self._slot_of(handle))
        self._remove(handle, "could not begin")
        self._context.fail(error)

    # -- the end --------------------------------------------------------------------------------------------

    def shut_one_down(self) -> None:
        """Let the idlest one go."""
        stays = [handle for handle in self.handles if not handle.shutting_down]
        if len(stays) > 1:
            min(stays, key=lambda handle: handle.outstanding).shut_down()

    def shut_all_down(self) -> None:
        """Tell all to leave when they have done what they have; one as the last, if that is of interest to it."""
        names_last = self._names_last and self.limits.cut_short_at is None
        for handle in self.handles:
            if handle.shutting_down:
                continue
            if names_last and self._kept is None and not self._has_last:
                self._kept = handle
            elif not (names_last and handle is self._kept):
                self._note_memory(handle)
                handle.shut_down()
        self._is_over = True
        self.see_to_the_last()

    def see_to_the_last(self) -> None:
        """When all others have torn down, tell the last one to; if there is none left, start one for that."""
        if not (self._names_last and self._is_over and self.started) or self._has_last:
            return
        if self.limits.cut_short_at is not None or self._context.ending:
            return
        if any(handle is not self._kept and not handle.left_at for handle in self.handles):
            return
        if self._kept not in self.handles:
            self._kept = None
            if not self._start(None):
                return
            self._kept = self.handles[-1]
        assert self._kept is not None
        self._has_last = True
        self._note_memory(self._kept)
        self._kept.status_page.identity.tell_last()
        self._kept.shut_down()

    @property
    def has_left(self) -> bool:
        """Whether no worker is left that might give something when it tears down."""
        if self._names_last and self._is_over and not self._has_last and self.started:
            return self._context.ending or self.limits.cut_short_at is not None
        return all(handle.left_at for handle in self.handles)

    def cut_short(self) -> None:
        """Nobody wants what else comes of the items that workers are at."""
        self.limits.cut_short_at = self._context.now()
        for handle in self.handles:
            handle.status_page.tell_unwanted()

    def see_off(self, now: float) -> None:
        """Hear what those say that leave, end those that take too long, and account for those that are gone."""
        for handle in list(self.handles):
            handle.take_leave()
            self._leaving.hear(handle)
        self.check_limits(now, look=True)
        for handle in list(self.handles):
            if handle.gone():
                handle.take_leave()
                self._see_out(handle)

    def _see_out(self, handle: WorkerHandle) -> None:
        self._leaving.gone(handle)
        self._remove(handle, handle.end)

    def kill_all(self) -> None:
        """End all at once."""
        for handle in self.handles:
            handle.kill()
        for handle in list(self.handles):
            handle.take_leave()
            self._remove(handle, handle.end or ("" if handle.left_at else "stopped"))

    def _note_memory(self, handle: WorkerHandle) -> None:
        self._memory[handle] = max(handle.peak_memory(), self._memory.get(handle, 0))

    def _slot_of(self, handle: WorkerHandle) -> int | None:
        return next((slot for slot, other in self._slots.items() if other is handle), None)

    def _remove(self, handle: WorkerHandle, end: str = "") -> None:
        self._note_memory(handle)
        memory = self._memory.pop(handle)
        self._context.unwatch(handle)
        self.handles.remove(handle)
        if not self._node.keyed:
            heapq.heappush(self._free_places, handle.place)
        if end:
            self.restarts[handle.place] = self.restarts.get(handle.place, 0) + 1
        slot = self._slot_of(handle)
        if slot is not None:
            del self._slots[slot]
        self.worker_stats.append(stats_of(handle, memory, end))
        self._add_figures(handle, self._histogram, self._slowest)
        handle.close()

    def _add_figures(
        self, handle: WorkerHandle, histogram: list[int], slowest: list[tuple[float, int, Any]]
    ) -> None:
        for step, count in enumerate(handle.status_page.histogram()):
            histogram[step] += count
        slowest += handle.slowest.keep()
        slowest.sort(key=lambda entry: -entry[0])
        del slowest[_SLOWEST:]

    def figures(self) -> tuple[list[WorkerStats], list[int], list[tuple[float, int, Any]]]:
        """Accounts of all workers, the histogram of durations, and the slowest items."""
        worker_stats = list(self.worker_stats)
        histogram, slowest = list(self._histogram), list(self._slowest)
        for handle in self.handles:
            worker_stats.append(stats_of(handle, self._memory.get(handle, 0), gone=False))
            self._add_figures(handle, histogram, slowest)
        return worker_stats, histogram, slowest
