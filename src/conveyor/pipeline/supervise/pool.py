"""Crew: the workers of one stage: started, watched, replaced, and dismissed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ...errors import ItemTimeout, WorkerLost, WorkersLost
from ..base.events import CrashLoop, FewerWorkers, WorkerDied
from ..host.deferred_signals import deferred_signals
from ..worker.messages import STRANDED
from ..worker.status_page import STEPS
from .engine_context import Desk
from .handle import Hand
from .leaving import Leaving
from .lifecycle import own_links
from .limits import Limits, Stint
from .stillborn import error_at_start, error_of_stranded
from .worker_stats import WorkerAccount, account_of

if TYPE_CHECKING:
    from ..operators.work import WorkNode

__all__ = ["Crew"]

# After the second death in a row, a replacement waits so long, and twice as long after each further one.
_REPLACE_SECONDS = 0.05
_REPLACE_MOST = 5.0
_SLOWEST = 10
# The first worker of a forked crew is there so soon, and its first result should not wait for the second's start.
_FIRST_SECONDS = 0.02
# Once it is there, its results tell soon how long items take, and whether it needs help. Not the first: in a new
# process, whatever is touched for the first time takes long.
_TELLING_SECONDS = 0.003
_TELLING_ITEMS = 2
# Starting one keeps the engine busy, too, and what it shares with a new process is slow to write to for a while:
# help must save so many times what it takes to start.
_WORTH = 4
# So long after the last look at time limits, the engine was away: in a sink, as a rule.
_AWAY_SECONDS = 0.1


class Crew:
    """Workers that all do the same.

    Args:
        desk: the engine.
        node: whose items they work on.
        most: workers at most.
    """

    def __init__(self, desk: Desk, node: WorkNode, most: int) -> None:
        self._desk = desk
        self._node = node
        self.most = most
        self.size = 1 if node.spec.workers == "auto" else most
        """How many there should be, once there is work for them."""
        self.largest = 0
        """How many there were at most."""
        self.crash_limit = max(10, 3 * most)
        self.hands: list[Hand] = []
        self._slots: dict[int, Hand] = {}
        self.deaths_in_a_row = self.starts_in_vain = 0
        self.started = self.deaths = 0
        self._not_before = self._checked = 0.0
        self.limits = Limits(node.spec)
        self._leaving = Leaving(desk, node.specs, self.limits)
        self.accounts: list[WorkerAccount] = []
        """Of those that are gone."""
        self._histogram = [0] * STEPS
        self._slowest: list[tuple[float, int, Any]] = []
        self._memory: dict[Hand, int] = {}

    # -- how many --------------------------------------------------------------------------------------

    def need(self) -> int:
        """Items that are needed soon, so that nobody waits."""
        need = 0
        missing = self.size
        for hand in self.hands:
            missing -= not hand.dismissed
            if hand.appetite > hand.outstanding:
                need += hand.appetite - hand.outstanding
        return need + max(missing, 0)

    @property
    def present(self) -> int:
        """How many there are that are to stay."""
        return sum(not hand.dismissed for hand in self.hands)

    @property
    def seconds_per_item(self) -> float:
        """As lately measured; 0: not known."""
        known = [hand.seconds for hand in self.hands if hand.seconds is not None]
        return sum(known) / len(known) if known else 0.0

    def in_slot(self, slot: int) -> Hand | None:
        """The worker for keys of that slot."""
        return self._slots.get(slot)

    def start_one(self, now: float, slot: int | None = None) -> bool:
        """Start a worker, if there may be one more; returns whether one was started."""
        if slot is None:
            if self.present >= self.size:
                return False
        elif slot in self._slots:
            return False
        if now < self._not_before or now < self._second_not_before() or self._desk.ending:
            return False
        node = self._node
        job = node.job
        if node.spec.where != "processes":
            job = dataclasses.replace(job, links=own_links(node.specs, self.most))
        try:
            with deferred_signals():
                hand = self._desk.start_worker(node, job, node.spec.where)
                self.hands.append(hand)
        except OSError as error:  # no memory, or no more processes allowed
            if not self.hands:
                self._desk.fail(WorkersLost(f"no worker process could be started: {error}"))
                return False
            self.size = self.most = len(self.hands)
            self._desk.tell(FewerWorkers(self.size, error))
            return False
        self.started += 1
        self.largest = max(self.largest, len(self.hands))
        if slot is not None:
            self._slots[slot] = hand
        return True

    def _second_not_before(self) -> float:
        if len(self.hands) != 1 or self.size == 1:
            return 0.0
        first = self.hands[0]
        if not first.ready:
            return first.started + _FIRST_SECONDS
        return first.ready_at + _TELLING_SECONDS if first.finished < _TELLING_ITEMS else 0.0

    def needs_help(self, items: float) -> bool:
        """Whether so many items would take much longer than it takes to start a worker, as far as that is known."""
        starts = [hand.ready_at - hand.started for hand in self.hands if hand.ready]
        free = sum(not hand.is_stuck for hand in self.hands)
        seconds = self.seconds_per_item
        return not starts or not free or not seconds or items * seconds / free > _WORTH * min(starts)

    def shares(self, items: int, with_help: bool) -> dict[Hand, int]:
        """How many of so many items each worker that needs more gets now: who has least comes first.

        Args:
            with_help: leave something to those that are still to be started.
        """
        among = self.size if with_help else self.present
        hungry = [hand for hand in self.hands if hand.room() > 0]
        hungry.sort(key=lambda hand: (not hand.ready, hand.outstanding))
        gets: dict[Hand, int] = {}
        for hand in hungry:
            if items:
                gets[hand] = min(hand.room(), -(-items // among))
                items -= gets[hand]
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
            alive = [hand for hand in self.hands if hand.overdue_in is None]
            times += [min(self.limits.due(hand)[0], now + shortest) for hand in alive]
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
        for hand in list(self.hands):
            if (late or not self._node.listens_to(hand)) and hand.has_results():
                hand.held_up_at = now
            due, stint = self.limits.due(hand)
            if now > due and hand.overdue_in is not stint:
                self._end_overdue(hand, stint)

    def _end_overdue(self, hand: Hand, stint: Stint) -> None:
        hand.overdue_in = stint
        hand.kill()
        if stint is Stint.ITEM:
            hand.timed_out = True
        elif stint is Stint.SETUP:
            self.broken(hand, self._leaving.too_long(hand, stint))
        elif stint is Stint.TEARDOWN:
            hand.torn.append(self._leaving.too_long(hand, stint))
        else:
            self._leaving.stuck(hand)

    def supervise(self, found: set[Any], look: bool) -> None:
        """Bury the dead."""
        for hand in list(self.hands):
            if look:
                self._note_memory(hand)
            if (look or hand.may_be_gone(found)) and hand.gone():
                self._bury(hand)

    def _bury(self, hand: Hand) -> None:
        node = self._node
        hand.collect()
        node.gather()
        self.hear(hand)
        if hand not in self.hands:
            return
        if not_begun := error_at_start(hand, node.specs[0].name):
            self._give_up(hand, not_begun)
            return
        back = hand.take_back()
        culprit = hand.culprit()
        slot = self._slot_of(hand)
        if hand.dismissed and culprit is None:
            node.come_back(back, slot)
            self._part_with(hand)
            return
        where = ""
        link = hand.slate.link if culprit is not None and hand.slate.link < len(node.specs) else 0
        if hand.timed_out:
            end = "timed out"
            error: Exception = ItemTimeout(
                f"it took longer than {node.spec.timeout:g} s; its worker was replaced"
            )
        else:
            exitcode = hand.exitcode
            calls = hand.crash()
            cause = self._desk.likely_cause(exitcode)
            number, item = culprit or (None, None)
            death = WorkerDied(node.specs[link].name, hand.pid, exitcode, number, item, calls, cause)
            end = death.reason
            error = WorkerLost(f"its worker process {hand.pid} {death.fate}", hand.pid, exitcode)
            where = ", called from ".join(calls)
            self._desk.tell(death)
            self._count_death(death)
            hand.end_programs()
        back = hand.bury(error, where, link, hand.slate.attempts(hand.finished)) + back
        node.come_back(back, slot)
        node.gather()
        self._remove(hand, end)

    def _count_death(self, death: WorkerDied) -> None:
        self.deaths += 1
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row > 1:
            pause = min(_REPLACE_SECONDS * 2.0 ** (self.deaths_in_a_row - 2), _REPLACE_MOST)
            self._not_before = self._desk.now() + pause
        if self.deaths_in_a_row >= self.crash_limit:
            self._desk.tell(CrashLoop(self.deaths_in_a_row, death))
            self._desk.fail(
                WorkersLost(
                    f"{self.deaths_in_a_row} workers of stage {death.stage!r} died one after another and none "
                    f"finished an item; the last {death.fate}"
                )
            )

    def hear(self, hand: Hand) -> None:
        """Act on what a worker said of its setup or teardown."""
        if hand.broken is not None and hand.broken[0] == STRANDED:
            self._give_up(hand, error_of_stranded(self._node.specs[0].name, *hand.broken[1:]))
        elif hand.broken is not None:
            self.broken(hand, hand.broken[1:])
        if hand.torn:
            self._leaving.hear(hand)

    def broken(self, hand: Hand, words: tuple[Any, ...]) -> None:
        """A worker could not be set up; it has ended, or does so soon, and another may take its place.

        Args:
            hand: the worker.
            words: what it said, or what is to be said of it: fields of a failure.
        """
        hand.broken = None
        hand.end = "could not be set up"
        back = hand.take_back()
        slot = self._slot_of(hand)
        hand.dismiss()
        if slot is not None:
            del self._slots[slot]
        self._node.come_back(hand.bury_quietly() + back, slot)
        self.starts_in_vain += 1
        if self.starts_in_vain > self._node.specs[int(words[0])].retries:
            self._desk.fail(self._leaving.error_of(hand, words, "setup"))
        else:
            self._not_before = self._desk.now() + _REPLACE_SECONDS * 2.0**self.starts_in_vain

    def _give_up(self, hand: Hand, error: Exception) -> None:
        """No worker would fare better than this one."""
        back = hand.take_back()
        self._node.come_back(hand.bury_quietly() + back, self._slot_of(hand))
        self._remove(hand, "could not begin")
        self._desk.fail(error)

    # -- the end --------------------------------------------------------------------------------------------

    def dismiss_one(self) -> None:
        """Let the idlest one go."""
        stays = [hand for hand in self.hands if not hand.dismissed]
        if len(stays) > 1:
            min(stays, key=lambda hand: hand.outstanding).dismiss()

    def dismiss_all(self) -> None:
        """Tell all to leave when they have done what they have."""
        for hand in self.hands:
            if not hand.dismissed:
                self._note_memory(hand)
                hand.dismiss()

    def cut_short(self) -> None:
        """Nobody wants what else comes of the items in hand."""
        self.limits.cut_short_at = self._desk.now()
        for hand in self.hands:
            hand.slate.tell_unwanted()

    def see_off(self, now: float) -> None:
        """Hear what those say that leave, end those that take too long, and account for those that are gone."""
        for hand in list(self.hands):
            hand.take_leave()
            self._leaving.hear(hand)
        self.check_limits(now, look=True)
        for hand in list(self.hands):
            if hand.gone():
                hand.take_leave()
                self._part_with(hand)

    def _part_with(self, hand: Hand) -> None:
        self._leaving.gone(hand)
        self._remove(hand, hand.end)

    def kill_all(self) -> None:
        """End all at once."""
        for hand in self.hands:
            hand.kill()
        for hand in list(self.hands):
            self._remove(hand, hand.end or ("" if hand.left_at else "stopped"))

    def _note_memory(self, hand: Hand) -> None:
        self._memory[hand] = max(hand.peak_memory(), self._memory.get(hand, 0))

    def _slot_of(self, hand: Hand) -> int | None:
        return next((slot for slot, other in self._slots.items() if other is hand), None)

    def _remove(self, hand: Hand, end: str = "") -> None:
        self._note_memory(hand)
        memory = self._memory.pop(hand)
        self._desk.unwatch(hand)
        self.hands.remove(hand)
        slot = self._slot_of(hand)
        if slot is not None:
            del self._slots[slot]
        self.accounts.append(account_of(hand, memory, end))
        self._add_figures(hand, self._histogram, self._slowest)
        hand.close()

    def _add_figures(self, hand: Hand, histogram: list[int], slowest: list[tuple[float, int, Any]]) -> None:
        for step, count in enumerate(hand.slate.histogram()):
            histogram[step] += count
        slowest += hand.slowest.keep()
        slowest.sort(key=lambda entry: -entry[0])
        del slowest[_SLOWEST:]

    def figures(self) -> tuple[list[WorkerAccount], list[int], list[tuple[float, int, Any]]]:
        """Accounts of all workers, the histogram of durations, and the slowest items."""
        accounts = list(self.accounts)
        histogram, slowest = list(self._histogram), list(self._slowest)
        for hand in self.hands:
            accounts.append(account_of(hand, self._memory.get(hand, 0), gone=False))
            self._add_figures(hand, histogram, slowest)
        return accounts, histogram, slowest
