"""One measurement: fresh processes around a fresh queue, started together, their items checked.

    parent                      each child (fork)
    ------                      -----------------
    open channel(s), fork
                                open its end
                                phase 1  distinct items, each compared whole; tags summed
                                barrier  all wait for all: nothing of phase 1 is left in the queue
                                phase 2  the timed loop: `items` items, distinct ones that go round
                                barrier  nobody closes its end before all have arrived
                                send its findings, leave
    collect, compare, kill on time-out

Time runs from the first item that any consumer got to the last that any got, on the monotonic
clock that all processes share: neither starting processes nor the barrier is in it. Every
consumer takes an equal share, so no sentinel is needed, and a lost item is a time-out here.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice, repeat
from time import monotonic_ns, process_time
from typing import Any

from conveyor.bench.payloads import Payload
from conveyor.bench.processes import MeasurementFailed, run_together
from conveyor.bench.rivals import Channel, Receiver, Rival, Shape, Tally
from conveyor.bench.topologies import Topology

__all__ = ["MeasurementFailed", "Sample", "Workload", "measure"]

_CHECKED_BYTES = 2 << 20
_CHECKED_ITEMS = 4, 800
"""Of the items of phase 1: so many bytes, but at least and at most so many items."""


@dataclass(frozen=True)
class Workload:
    """What is carried, and between how many: the rivals are compared within one workload."""

    topology: Topology
    payload: Payload
    maxsize: int | None = None
    """The bound on items in flight, 0 for none; None: the payload's own, for the rivals that take one."""
    burners: int = 0
    """Processes that compute all the time beside it."""

    @property
    def key(self) -> str:
        words = [self.topology.name, self.payload.name]
        if self.maxsize is not None:
            words.append(f"maxsize={self.maxsize}")
        if self.burners:
            words.append(f"burners={self.burners}")
        return "/".join(words)

    @property
    def title(self) -> str:
        """What is carried, and the bound that this workload sets."""
        if self.maxsize is None:
            return self.payload.title
        return f"{self.payload.title}, {f'maxsize {self.maxsize}' if self.maxsize else 'unbounded'}"

    @property
    def bound(self) -> int:
        """The most items in flight; 0: no bound."""
        return self.payload.bound if self.maxsize is None else self.maxsize

    def suits(self, rival: Rival) -> bool:
        """Batches make no sense for a round trip, nor for items of 64 KiB and more, nor for a few places."""
        if self.maxsize and not rival.takes_bound(self.maxsize):
            return False
        if rival.unbounded and not self.maxsize:
            return False
        if rival.in_place:
            return self.payload.array and self.payload.size >= 1 << 20 and not self.topology.round_trip
        if rival.one_producer and self.topology.producers > 1:
            return False
        most = rival.most_bytes(self.topology.consumers)
        if most is not None and (self.payload.size > most or self.payload.pickled > most):
            return False
        return rival.style == "single" or not (self.topology.round_trip or self.payload.large or self.maxsize)

    @property
    def shape(self) -> Shape:
        """What a channel needs to know of this workload."""
        return Shape(self.topology.producers, self.topology.consumers, self.payload.size, self.bound)


@dataclass(frozen=True)
class Sample:
    """The outcome of one measurement."""

    items: int
    """Items that arrived in `seconds`, or round trips made."""
    seconds: float
    """From the first item got by any consumer to the last; for round trips, all of them."""
    lead_seconds: float
    """From the first producer's start to the first item got: how far ahead the producers were."""
    cpu_seconds: float
    """Processor time of all the processes in the timed phase, user and system."""
    faults: int
    """Pages that the kernel had to supply to them in that phase (minor faults)."""

    @property
    def rate(self) -> float:
        """Items or round trips a second."""
        return self.items / self.seconds


@dataclass
class _Findings:
    """What a child reports: a producer when it started, a consumer its tally and its checks."""

    started_ns: int = 0
    cpu_seconds: float = 0.0
    faults: int = 0
    tally: Tally | None = None
    checked: int = 0
    tags: int = 0


_Role = Callable[[Any], _Findings]
"""What one child does; it is given the barrier that all of them share."""


@dataclass(frozen=True)
class _Plan:
    """What every child knows: the workload and how many items the two phases have in all."""

    workload: Workload
    checked: int
    items: int
    hot: bool

    @property
    def specimens(self) -> tuple[Any, ...]:
        """What goes round in the timed phase: distinct items, or, hot, one and the same."""
        specimens = self.workload.payload.specimens
        return specimens[:1] if self.hot else specimens


def measure(
    rival: Rival,
    workload: Workload,
    items: int,
    *,
    hot: bool = False,
    patience: float = 60.0,
) -> Sample:
    """Carry about `items` items (at least one for each pair) and say how long that took.

    `hot` sends one and the same item, which then stays in the cache. `patience` is in seconds, for the
    whole measurement; a process that is not done by then is killed.
    """
    topology, payload = workload.topology, workload.payload
    _ = payload.specimens  # made here, once, for all the children to come
    quantum = topology.quantum
    fewest, most = _CHECKED_ITEMS
    checked = max(fewest, min(most, _CHECKED_BYTES // payload.size))
    plan = _Plan(workload, _multiple(checked, quantum), _multiple(items, quantum), hot)
    with ExitStack() as stack:
        channels: list[Channel] = []
        for _ in range(1 + topology.round_trip):
            channels.append(rival.open(workload.shape))
            stack.callback(channels[-1].close)
        if topology.round_trip:
            roles = [_ping(plan, *channels), _pong(plan, *channels)]
        else:
            roles = [_producer(plan, channels[0], index) for index in range(topology.producers)]
            roles += [_consumer(plan, channels[0], index) for index in range(topology.consumers)]
        findings = run_together(roles, patience)
        if any(channel.left_over() for channel in channels):
            raise MeasurementFailed("items were left over: some arrived twice")
    return _judge(plan, findings)


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _multiple(count: int, quantum: int) -> int:
    return max(1, round(count / quantum)) * quantum


def _producer(plan: _Plan, channel: Channel, index: int) -> _Role:
    topology, payload = plan.workload.topology, plan.workload.payload

    def role(barrier: Any) -> _Findings:
        findings = _Findings()
        sender = channel.sender(index)
        share = plan.checked // topology.producers
        for tag in range(index * share, (index + 1) * share):
            sender.put(payload.make(tag))
        items = plan.specimens
        barrier.wait()
        findings.started_ns = monotonic_ns()
        cpu, faults = process_time(), _faults()
        sender.send(items, plan.items // topology.producers)
        barrier.wait()
        findings.cpu_seconds, findings.faults = process_time() - cpu, _faults() - faults
        sender.close()
        return findings

    return role


def _consumer(plan: _Plan, channel: Channel, index: int) -> _Role:
    topology, payload = plan.workload.topology, plan.workload.payload

    def role(barrier: Any) -> _Findings:
        findings = _Findings()
        receiver = channel.receiver(index)
        _check(receiver, payload, plan.checked // topology.consumers, findings)
        barrier.wait()
        cpu, faults = process_time(), _faults()
        # Arrays are judged by their marks, one and all: next to the copy of one that costs nothing.
        receive = partial(_receive_all, receiver.get) if payload.array else receiver.receive
        findings.tally = receive(plan.items // topology.consumers, payload.is_specimen)
        barrier.wait()
        findings.cpu_seconds, findings.faults = process_time() - cpu, _faults() - faults
        receiver.close()
        return findings

    return role


def _receive_all(get: Callable[[], Any], count: int, right: Callable[[Any], bool]) -> Tally:
    """The timed loop for arrays, the same for every rival: each item is checked on receipt."""
    wrong = int(not right(get()))
    first = monotonic_ns()
    for _ in repeat(None, count - 1):
        item = get()
        wrong += not right(item)
    return Tally(first, monotonic_ns(), wrong)


def _check(receiver: Receiver, payload: Payload, count: int, findings: _Findings) -> None:
    """Phase 1 of a consumer: each item must equal the one that its tag says it is."""
    for _ in range(count):
        item = receiver.get()
        tag = payload.tag(item)
        if not payload.same(item, payload.make(tag)):
            raise MeasurementFailed(f"an item arrived changed: {str(item)[:80]}")
        findings.tags += tag
        findings.checked += 1


def _ping(plan: _Plan, there: Channel, back: Channel) -> _Role:
    payload = plan.workload.payload

    def role(barrier: Any) -> _Findings:
        findings = _Findings()
        sender, receiver = there.sender(0), back.receiver(0)
        for tag in range(plan.checked):
            sender.put(payload.make(tag))
            _check(receiver, payload, 1, findings)
        items, put, get = plan.specimens, sender.put, receiver.get
        item = answer = None
        barrier.wait()
        cpu, faults = process_time(), _faults()
        findings.started_ns = monotonic_ns()
        for item in islice(cycle(items), plan.items):
            put(item)
            answer = get()
        findings.tally = Tally(findings.started_ns, monotonic_ns(), int(not payload.same(answer, item)))
        barrier.wait()
        findings.cpu_seconds, findings.faults = process_time() - cpu, _faults() - faults
        sender.close()
        receiver.close()
        return findings

    return role


def _pong(plan: _Plan, there: Channel, back: Channel) -> _Role:
    def role(barrier: Any) -> _Findings:
        findings = _Findings()
        receiver, sender = there.receiver(0), back.sender(0)
        get, put = receiver.get, sender.put
        for _ in range(plan.checked):
            put(get())
        barrier.wait()
        cpu, faults = process_time(), _faults()
        for _ in range(plan.items):
            put(get())
        barrier.wait()
        findings.cpu_seconds, findings.faults = process_time() - cpu, _faults() - faults
        sender.close()
        receiver.close()
        return findings

    return role


def _judge(plan: _Plan, findings: list[_Findings]) -> Sample:
    """Compare counts and check-sums with what was sent; turn clock readings into a sample."""
    checked = sum(each.checked for each in findings)
    tags = sum(each.tags for each in findings)
    if (checked, tags) != (plan.checked, plan.checked * (plan.checked - 1) // 2):
        raise MeasurementFailed(f"sent {plan.checked} distinct items, got {checked} with sum of tags {tags}")
    tallies = [each.tally for each in findings if each.tally is not None]
    if any(tally.wrong for tally in tallies):
        raise MeasurementFailed(f"{sum(tally.wrong for tally in tallies)} items arrived changed")
    first = min(tally.first_ns for tally in tallies)
    last = max(tally.last_ns for tally in tallies)
    started = min(each.started_ns for each in findings if each.started_ns)
    trips = plan.workload.topology.round_trip
    return Sample(
        items=plan.items if trips else max(1, plan.items - 1),
        seconds=max(1, last - first) / 1e9,
        lead_seconds=max(0, first - started) / 1e9,
        cpu_seconds=sum(each.cpu_seconds for each in findings),
        faults=sum(each.faults for each in findings),
    )
