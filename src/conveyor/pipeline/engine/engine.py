"""Engine: runs the nodes of a pipeline in one thread, to the end or until it is told to end."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from multiprocessing import util
from typing import Any

from ..base.events import Event, OutletClosed, Tick
from ..base.failure import Failure
from ..base.phase import Phase
from ..checkpoint.origin_counter import OriginCounter
from ..graph.stage import Where
from ..host.deferred_signals import surely
from ..operators.node import Node
from ..operators.sink import SinkNode
from ..operators.source import SourceNode
from ..operators.work import WorkNode
from ..supervise.handle import WorkerHandle
from ..supervise.real_world import RealWorld
from ..supervise.stage_port import StagePort
from ..supervise.world import World
from ..worker.serve import Job
from .autoscale import Autoscale
from .failure_policy import FailurePolicy
from .fast_path import FastPath
from .pacing import nap, take_quickly
from .passable import passable
from .shutdown import shut_down

__all__ = ["Engine", "Phase"]

# We also look for ourselves: a child of the worker's may hold the descriptor that tells of its death.
_LOOK_SECONDS = 0.5
# Deaths, time limits and all else are looked at this often at least.
_CARE_SECONDS = 0.002


class Engine(FailurePolicy):
    """Nodes, their workers, and the loop that moves values between them.

    Iterate over `run()` and act on each event; the run goes on only while you do, which is the back-pressure.

    Args:
        world: time, waiting and workers; None: those of the machine.
        halt_now: a failure that ends the run does so at once; else what has been begun is finished.
        max_failures: items that may fail, as a number or a share; None: any.
        tick: seconds between `Tick` events, about; None: none.
        outlet: a descriptor that results are written to; `OutletClosed` tells when its reader has gone.
        tracker: keeps account of what is done; None: nobody does.
        jobs: workers at most, for the stages that share them out among themselves.
        dead_letter: takes items of stages with `on_error="dead_letter"`.
        show: called between turns with the time, and returns when it wants to be called next; the first time is
            `show_after` seconds after the beginning, and while the engine rests it is not. None: nobody is.
        said: takes what workers log, warn of and print, see `Voice`; None: nobody does.
    """

    def __init__(
        self,
        *,
        world: World | None = None,
        halt_now: bool = True,
        max_failures: int | float | None = None,
        tick: float | None = None,
        outlet: int | None = None,
        checkpoint: OriginCounter | None = None,
        jobs: int = 1,
        dead_letter: Callable[[Failure, Any], None] | None = None,
        show: Callable[[float], float] | None = None,
        show_after: float = 0.0,
        said: Callable[[int, str, bytes], None] | None = None,
    ) -> None:
        super().__init__(halt_now, max_failures, dead_letter)
        self._tick = tick
        self._outlet = outlet
        self._show = show
        self._show_after = show_after
        self._said = said
        self._show_at = math.inf
        self._checkpoint = checkpoint
        self.world: World = world or RealWorld()
        self.now: Callable[[], float] = self.world.now
        self.uniform: Callable[[float, float], float] = self.world.uniform
        self.poller = self.world.poller(outlet)
        self.nodes: list[Node] = []
        self.works: list[WorkNode] = []
        self.sources: list[SourceNode] = []
        self.sinks: list[SinkNode] = []
        self._described: list[SourceNode] = []  # sources with a descriptor
        self._news: deque[Event] = deque()
        self._speaking: deque[WorkerHandle] = deque()
        self.workforce = self.world.workforce(self._spoke, self.fail)
        self._autoscale = Autoscale(jobs)
        self.phase = Phase.RUNNING
        self.began = self.ended = 0.0
        self._looked = self._ticked = self._cared = 0.0
        self._hurry = self._is_ready = self._napping = False
        self._lane: FastPath | None = None

    def adopt(self, nodes: list[Node]) -> None:
        """The nodes, each before those that it feeds."""
        self.nodes = nodes
        self.works = [node for node in nodes if isinstance(node, WorkNode)]
        self.sources = [node for node in nodes if isinstance(node, SourceNode)]
        self.sinks = [node for node in nodes if isinstance(node, SinkNode)]
        self._described = [node for node in self.sources if node.source.fileno() is not None]
        self._lane = None if self._checkpoint is not None else FastPath.through(nodes, self.world.spin)

    # -- from outside, also from signal handlers -----------------------------------------------------

    def drain(self) -> int:
        """Take no more input, finish what was taken in, and end. Safe in a signal handler.

        Returns:
            How many items are in flight.
        """
        self.phase = max(self.phase, Phase.DRAINING)
        for node in self.nodes:
            node.close_input()
        self.poller.wake()
        return self.in_flight

    def finish_begun(self) -> None:
        """Begin nothing more, finish what workers have begun, and end."""
        if self.phase < Phase.LAST:
            self.phase = Phase.LAST
            for node in self.nodes:
                node.close_input()
            for work in self.works:
                work.cut()
            self.poller.wake()

    def halt(self) -> None:
        """End now: what comes is dropped, and workers leave. Safe in a signal handler."""
        self.phase = max(self.phase, Phase.HALTED)
        self.poller.wake()

    def stop(self) -> None:
        """End at once: the workers are killed. Safe in a signal handler."""
        self.phase = Phase.STOPPED
        self.poller.wake()

    @property
    def look_seconds(self) -> float:
        """How often it looks for itself at what it should be told of."""
        return _LOOK_SECONDS

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done until somebody asks for something; a run to the end of a source never is."""
        return False

    @property
    def rests(self) -> bool:
        """Whether what `show` would show stays as it was shown until something happens."""
        return False

    @property
    def in_flight(self) -> int:
        """Items that were taken in and are not through."""
        return sum(node.held for node in self.nodes if not (isinstance(node, SourceNode) or node.abandoned))

    # -- as the context of the nodes ----------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Pass on news to the caller of the run."""
        self._news.append(event)

    def begun(self, origins: list[Any] | None) -> None:
        """Values have come out of the source."""
        if self._checkpoint is not None and origins is not None:
            self._checkpoint.begin(origins)

    def fanned_out(self, origin: Any, count: int) -> None:
        """A value that came of `origin` became so many, 0 included."""
        if self._checkpoint is not None:
            self._checkpoint.fanned_out(origin, count)

    def exit_cause(self, exitcode: int | None) -> str:
        """What is likely to have killed a worker just now; empty if nothing is known."""
        return self.world.exit_cause(exitcode)

    @property
    def ending(self) -> bool:
        """Whether nothing new is to be begun."""
        return self.phase >= Phase.LAST

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """Start a worker."""
        handle = self.workforce.start_worker(stage_port, job, where)
        handle.watch(self.poller)
        return handle

    def said(self, pid: int, what: str, data: bytes) -> None:
        """A worker has logged, warned of or printed something."""
        if self._said is not None:
            self._said(pid, what, data)

    def unwatch(self, handle: WorkerHandle) -> None:
        """A worker is gone."""
        handle.unwatch(self.poller)

    def _spoke(self, handle: WorkerHandle) -> None:
        self._speaking.append(handle)
        if (
            not self._napping
        ):  # in this order: after a nap, first that is said, and then looked who has spoken
            self.poller.wake()

    # -- the run ---------------------------------------------------------------------------------------

    def run(self) -> Generator[Event, None, None]:
        """Run to the end of the source, or until told to end, and tell what happens.

        However the iteration ends, by `break` or an exception too, no worker is left.

        Raises:
            BaseException: what `fail` was told.
        """
        self.began = self.now()
        if self._show is not None:
            self._show_at = self.began + self._show_after
        # A run that nobody closes must not keep the interpreter from ending: it waits for our workers.
        last_call = util.Finalize(self, _stop, args=(weakref.ref(self),), exitpriority=20)
        try:
            self.get_ready()
            yield from self._loop()
            for node in self.works:
                node.cut()
                node.flush()
            self._pump(to_the_end=True)
            yield from self._told()
            for _ in self._dismiss():
                self._show_if_due()
                yield from self._told()
        except BaseException as error:  # the caller iterates no longer, or something of ours failed
            self._leave(error)
            raise
        finally:
            surely(lambda: self._end(last_call))
        yield from self._told()
        if self.error is not None:
            raise passable(self.error)

    def get_ready(self) -> None:
        """Get ready to start processes; called by `run`, or before, in another thread than that of the run."""
        if not self._is_ready:
            self._is_ready = True
            self.workforce.get_ready([node.job for node in self.works if node.spec.where == "processes"])

    def _dismiss(self) -> Iterator[None]:
        cut_short = self.phase >= Phase.HALTED
        return shut_down(self.works, self.poller, self.now, lambda: self.phase is Phase.STOPPED, cut_short)

    def _leave(self, why: BaseException) -> None:
        """Have the workers leave though nobody is told of it any more."""
        before = self.error
        if before is None and not isinstance(why, GeneratorExit):
            self.error = why
        self.halt()
        for node in self.works:
            node.cut()
        for _ in self._dismiss():
            self._show_if_due()
        if before is None and self.error is not None and self.error is not why:
            raise passable(self.error)

    def _told(self) -> Iterator[Event]:
        while self._news:
            yield self._news.popleft()

    def _loop(self) -> Iterator[Event]:
        while True:
            if self._lane is not None and self._may_carry() and self._lane.carry():
                yield from self._told()
                continue
            # The workers get more to do before the caller hears what they have done.
            self._pump()
            # Now that all is where it can go: before, results that just came look as if they were stuck.
            self._autoscale.adjust(self.now(), self.works)
            if self._news:
                yield from self._told()
                if self._lane is not None and self._may_carry():
                    continue
            if self.phase >= Phase.HALTED or self._all_done():
                return
            # Starting a process takes as long as thousands of items: after they have been moved, and one at a time.
            started = any(node.scale_up(self.now()) for node in self.works)
            if started or (self._may_look() and take_quickly(self.works, self.sources, self.world.spin)):
                continue
            found = self._wait()
            now = self.now()
            self._cared = now
            if now >= self._show_at:
                self._show_if_due()
            look = now - self._looked > self.look_seconds
            if look:
                self._looked = now
            if self._tick is not None and now - self._ticked >= self._tick:
                self._ticked = now
                self._news.append(Tick())
            if self._outlet in found:
                self._news.append(OutletClosed())
            for source in self.sources:
                if source.source.fileno() in found or (look and source.wants_input):
                    source.read()
            for node in self.works:
                if node.pool.handles:
                    node.pool.check_limits(now, look)
                    node.collect(found)
                    node.pool.supervise(found, look)
            if self._checkpoint is not None:
                self._checkpoint.commit(now)

    def _show_if_due(self) -> None:
        now = self.now()
        if now >= self._show_at and self._show is not None:
            self._show_at = self._show(now)

    def _may_look(self) -> bool:
        return not (self._hurry or self._speaking) and self.now() - self._cared <= _CARE_SECONDS

    def _may_carry(self) -> bool:
        return not self.phase and not self._speaking and self.now() - self._cared < _CARE_SECONDS

    def _all_done(self) -> bool:
        # The sources are the last to be in doubt, and quick to ask.
        return all(source.done or source.abandoned for source in self.sources) and all(
            node.done or node.abandoned for node in self.nodes
        )

    def _pump(self, to_the_end: bool = False) -> None:
        """Move values on, the first first, until nothing moves."""
        now = self.now()
        again = True
        rounds = 0
        while again and rounds < 64 and (to_the_end or self.phase < Phase.HALTED):
            rounds += 1
            moved = False
            for node in self.nodes:
                moved = node.advance(now) or moved
            # What moved made room, which matters to those that have something and could not move it.
            again = self._pass_on_ends() or (moved and any(node.held_up for node in self.nodes))
        self._hurry = again

    def _pass_on_ends(self) -> bool:
        moved = False
        for node in self.nodes:
            if node.ended or not node.done:
                continue
            node.ended = moved = True
            for outlet in node.outlets():
                outlet.inlet_ended()
            if isinstance(node, WorkNode):
                node.pool.shut_all_down()
        return moved

    # -- waiting -------------------------------------------------------------------------------------------

    def _wait(self) -> set[Any]:
        now = self.now()
        seconds = min(self.look_seconds, self._tick or self.look_seconds)
        if self._show_at - now < seconds and not self.rests:
            seconds = self._show_at - now
        for node in self.nodes:
            deadline = node.deadline()
            if deadline is not None:
                seconds = min(seconds, deadline - now)
        if self._checkpoint is not None and (due := self._checkpoint.deadline()) is not None:
            seconds = min(seconds, due - now)
        for node in self.works:
            seconds = min(seconds, node.take_from_the_stuck(now))
        if any(node.came_back for node in self.works):
            self._hurry = True
        if self._described:
            wanted = (node.source.fileno() for node in self._described if node.wants_input)
            self.poller.set_sources({fd for fd in wanted if fd is not None})
        for node in self.works:
            node.listen(self.poller)
        found: set[Any] = set()
        if not self._hurry and seconds > 0 and not self._speaking:
            rest = nap(self.works, now)
            if rest:
                self._napping = True
                self.poller.pause(min(rest, seconds))
                self._napping = False
            else:
                found |= self.poller.wait(seconds + 0.0005)
        found |= self.poller.wait(0) if not found else set()
        while self._speaking:
            found.add(self._speaking.popleft())
        return found

    # -- the end -----------------------------------------------------------------------------------------

    def _end(self, last_call: util.Finalize) -> None:
        self.ended = self.ended or self.now()
        for node in self.nodes:
            node.close()
        for node in self.works:
            node.pool.kill_all()
        self.workforce.end_processes()
        self.workforce.end_loop()
        self.poller.close()
        last_call.cancel()


def _stop(reference: weakref.ref[Engine]) -> None:
    engine = reference()
    for node in engine.works if engine is not None else ():
        for handle in node.pool.handles:
            handle.kill()
    if engine is not None:
        engine.workforce.end_processes()
