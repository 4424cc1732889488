"""The benchmark measures, and checks what it measures. Nothing here asserts a speed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conveyor.bench.bars import needed_rivals
from conveyor.bench.burners import burning
from conveyor.bench.measurement import MeasurementFailed, Workload, measure
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.processes import FORK, run_together
from conveyor.bench.rivals import RIVALS, Channel, Receiver, Sender, Shape
from conveyor.bench.rivals.standard_library import QueueChannel, StandardQueue
from conveyor.bench.runner import Runner
from conveyor.bench.topologies import TOPOLOGIES

SMALL = Workload(TOPOLOGIES["1:1"], PAYLOADS["tuple"])


@pytest.fixture(autouse=True, scope="module")
def the_heap_of_multiprocessing() -> None:
    """The first Barrier makes multiprocessing keep an arena (two descriptors) for good: before any test."""
    FORK.Barrier(1)


def quiet(_text: str) -> None:
    """Say nothing."""


def needs_its_package(payload: str) -> None:
    """NumPy comes with the extra `bench`; what carries arrays is skipped without it."""
    if PAYLOADS[payload].array:
        pytest.importorskip("numpy")


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("rival", ["conveyor", "conveyor-many", "multiprocessing", "simplequeue"])
def test_every_topology_is_measured(rival: str, topology: str) -> None:
    workload = Workload(TOPOLOGIES[topology], PAYLOADS["tuple"])
    if not workload.suits(RIVALS[rival]):
        pytest.skip("batches make no round trips")
    sample = measure(RIVALS[rival], workload, 208, patience=20)  # 13 for each pair at 4:4
    assert sample.items == (208 if topology == "ping-pong" else 207)
    assert sample.seconds > 0
    assert sample.lead_seconds >= 0


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("hot", [False, True])
def test_every_payload_is_measured(payload: str, hot: bool) -> None:
    needs_its_package(payload)
    workload = Workload(TOPOLOGIES["1:1"], PAYLOADS[payload])
    count = 70 if PAYLOADS[payload].size < 8 << 20 else 10
    for rival in ("conveyor", "multiprocessing"):
        assert measure(RIVALS[rival], workload, count, hot=hot, patience=20).items == count - 1


@pytest.mark.parametrize(
    "name", [name for name, rival in RIVALS.items() if rival.distribution and not rival.ours]
)
@pytest.mark.leaves("multiprocessing's heap keeps the arenas that faster-fifo's ring came from")
def test_the_other_rivals_that_are_installed(name: str) -> None:
    try:
        RIVALS[name].load()
    except ImportError as error:
        pytest.skip(str(error))
    for topology in ("1:1", "4:4"):
        workload = Workload(TOPOLOGIES[topology], PAYLOADS["tuple"])
        if workload.suits(RIVALS[name]):
            assert measure(RIVALS[name], workload, 208, patience=20).items == 207
    arrays = Workload(TOPOLOGIES["1:1"], PAYLOADS["numpy64k"])
    if arrays.suits(RIVALS[name]):
        pytest.importorskip("numpy")
        assert measure(RIVALS[name], arrays, 208, patience=20).items == 207


def test_allocate_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    rival = RIVALS["conveyor-allocate"]
    try:
        rival.load()
    except ImportError:  # not written yet: what stands in for it lets `put` copy, and all else is the same
        monkeypatch.setattr(
            "conveyor.Queue.allocate", lambda _queue, *form: numpy.empty(*form), raising=False
        )
        rival.load()
    assert measure(rival, Workload(TOPOLOGIES["1:1"], PAYLOADS["numpy8m"]), 20, patience=20).items == 19


def test_who_takes_part() -> None:
    suited = {
        key: {
            name for name, rival in RIVALS.items() if Workload(TOPOLOGIES[where], PAYLOADS[what]).suits(rival)
        }
        for key in ("1:1/tuple", "4:4/tuple", "4:4/bytes40", "ping-pong/tuple", "1:1/numpy8m", "1:1/bytes1m")
        for where, what in [key.split("/")]
    }
    many = {"conveyor-many", "faster-fifo-many"}
    bounded = {"conveyor-unbounded"}  # beside bounded queues only
    assert suited["1:1/tuple"] == RIVALS.keys() - {"conveyor-allocate"} - bounded
    assert suited["4:4/tuple"] == suited["1:1/tuple"] - {"py-sharedmemory"}  # it has one producer
    assert suited["4:4/bytes40"] == suited["4:4/tuple"] - {"subetha"}  # 55 bytes when pickled, of 52
    assert suited["ping-pong/tuple"] == suited["1:1/tuple"] - many
    assert suited["1:1/bytes1m"] == suited["1:1/tuple"] - many - {"subetha"}
    assert suited["1:1/numpy8m"] == RIVALS.keys() - many - bounded - {"subetha"}


def test_beside_a_bounded_queue_are_those_that_can_have_the_same_bound() -> None:
    suited = {
        maxsize: {name for name, rival in RIVALS.items() if replace(SMALL, maxsize=maxsize).suits(rival)}
        for maxsize in (None, 0, 1, 8, 100)
    }
    assert suited[None] == suited[0]
    assert suited[1] == suited[100]
    assert suited[1] == {
        *("conveyor", "conveyor-unbounded", "multiprocessing", "faster-fifo", "py-sharedmemory"),
    }
    assert suited[8] == suited[1] | {"subetha"}  # powers of two, from 2 on
    assert replace(SMALL, maxsize=0).shape.bound == SMALL.shape.bound == 0
    assert replace(SMALL, maxsize=8).shape.bound == 8
    keys = {replace(SMALL, maxsize=maxsize, burners=2).key for maxsize in (None, 0, 1, 8)}
    assert len(keys) == 4
    assert SMALL.key not in keys


@pytest.mark.parametrize("rival", ["conveyor", "conveyor-unbounded", "multiprocessing", "faster-fifo"])
@pytest.mark.leaves("multiprocessing's heap keeps the arenas that faster-fifo's ring came from")
def test_a_bounded_queue_is_measured(rival: str) -> None:
    try:
        RIVALS[rival].load()
    except ImportError as error:
        pytest.skip(str(error))
    assert measure(RIVALS[rival], replace(SMALL, maxsize=1), 200, patience=20).items == 199


def test_the_bound_is_the_queues() -> None:
    queue: Any = RIVALS["conveyor"].open(replace(SMALL, maxsize=2).shape)
    queue.queue.put(1)
    queue.queue.put(2)
    assert queue.queue.full()
    queue.close()
    queue = RIVALS["conveyor-unbounded"].open(replace(SMALL, maxsize=2).shape)
    for number in range(3):
        queue.queue.put(number)
    assert not queue.queue.full()
    queue.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_burners_compute_until_the_block_is_left() -> None:
    with burning(2) as pids:
        assert len(pids) == 2
        deadline = time.monotonic() + 20
        while any(time.clock_gettime((~pid << 3) | 2) < 0.02 for pid in pids):  # their processor time
            assert time.monotonic() < deadline
    assert not any(map(alive, pids))
    with pytest.raises(KeyboardInterrupt), burning(1) as pids:
        raise KeyboardInterrupt
    assert not any(map(alive, pids))


def test_a_burner_that_ended_early_fails_the_measurement() -> None:
    with pytest.raises(MeasurementFailed, match="not kept busy"), burning(2) as pids:
        os.kill(pids[0], signal.SIGKILL)
        os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
    assert not any(map(alive, pids))


def test_burners_end_when_the_run_is_killed() -> None:
    ours, theirs = FORK.Pipe(duplex=False)

    def run() -> None:
        with burning(2) as pids:
            theirs.send(pids)
            signal.pause()

    process = FORK.Process(target=run)
    process.start()
    theirs.close()
    pids = ours.recv()
    assert all(map(alive, pids))
    process.kill()
    process.join()
    ours.close()
    deadline = time.monotonic() + 20
    while any(map(alive, pids)):
        assert time.monotonic() < deadline


def test_a_busy_machine_is_busy_while_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    @contextmanager
    def counted(count: int) -> Generator[list[int]]:
        with burning(count) as pids:
            seen.extend(pids)
            yield pids
            assert all(map(alive, pids))

    monkeypatch.setattr("conveyor.bench.runner.burning", counted)
    runner = Runner([RIVALS["conveyor"]], 2, quiet)
    outcome = runner.run(replace(SMALL, maxsize=8, burners=1), 0.01, items=200)
    assert len(outcome.rows["conveyor"].samples) == 2
    assert outcome.rows["conveyor"].worst == min(outcome.rows["conveyor"].rates)
    assert len(seen) == 1
    assert not alive(seen[0])


def test_a_run_without_time_for_all_has_who_the_bars_name() -> None:
    runner = Runner(list(RIVALS.values()), 1, quiet, needed=needed_rivals)
    for key, all_of_them in (("1:1/tuple", True), ("1:1/numpy8m", True), ("1:1/log", False)):
        topology, payload = key.split("/")
        workload = Workload(TOPOLOGIES[topology], PAYLOADS[payload])
        entrants = {rival.name for rival in runner.entrants(workload)}
        assert {"conveyor", "multiprocessing"} <= entrants
        assert ("cloudtoid" in entrants) == all_of_them


@pytest.mark.parametrize("name", PAYLOADS)
def test_items_are_distinct_and_know_their_tag(name: str) -> None:
    needs_its_package(name)
    payload = PAYLOADS[name]
    assert [payload.tag(payload.make(tag)) for tag in (0, 1, 70_000)] == [0, 1, 70_000]
    assert not payload.same(payload.make(1), payload.make(2))
    assert payload.same(payload.make(1), payload.make(1))
    assert all(payload.is_specimen(item) for item in payload.specimens)
    assert len({payload.tag(item) for item in payload.specimens}) == len(payload.specimens)
    assert len(payload.specimens) >= (64 if payload.size < 1 << 23 else 8)
    assert not payload.is_specimen(payload.make(5))


def test_arrays_are_compared_whole_and_judged_by_their_marks() -> None:
    numpy = pytest.importorskip("numpy")
    payload = PAYLOADS["numpy64k"]
    array = payload.specimens[3].copy()
    assert payload.is_specimen(array)
    array[1] += 1  # no mark: only the whole comparison of the first phase sees it
    assert payload.is_specimen(array)
    assert not payload.same(array, payload.specimens[3])
    assert not payload.same(payload.specimens[3].astype("f4").astype("f8"), payload.specimens[3])
    assert not payload.same(payload.specimens[3].tolist(), payload.specimens[3])
    for position in (0, array.size // 3, array.size - 1):
        other = payload.specimens[3].copy()
        other[position] = numpy.nan if position else 5.0
        assert not payload.is_specimen(other)


class Faulty(StandardQueue):
    """multiprocessing.Queue behind a `put` that errs: it is given the queue's own put and the item."""

    def __init__(self, put: Callable[[Callable[[Any], None], Any], None]) -> None:
        self.faulty_put = put

    def open(self, shape: Shape) -> Channel:
        faulty_put = self.faulty_put

        class FaultyChannel(QueueChannel):
            def sender(self, index: int) -> Sender:
                put = self.queue.put
                return Sender(lambda item: faulty_put(put, item))

        channel = super().open(shape)
        assert isinstance(channel, QueueChannel)
        return FaultyChannel(channel.queue)


def lose_one(put: Callable[[Any], None], item: Any) -> None:
    if item[0] != 50:
        put(item)


def change_one(put: Callable[[Any], None], item: Any) -> None:
    put((item[0], "abd", 3.14, {"k": 1}) if item[0] == 50 else item)


def double_one(put: Callable[[Any], None], item: Any) -> None:
    put(item)
    if item[0] == 50:
        put(item)


def raise_once(put: Callable[[Any], None], item: Any) -> None:
    if item[0] == 50:
        raise ValueError("no such item")
    put(item)


def die(put: Callable[[Any], None], item: Any) -> None:
    if item[0] == 50:
        os.kill(os.getpid(), signal.SIGKILL)
    put(item)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lose_one, "not done after 2 s"),
        (change_one, "changed"),
        (double_one, "sum of tags|changed|left over|distinct"),
        (raise_once, "ValueError: no such item"),
        (die, "died"),
    ],
)
def test_a_queue_that_errs_is_found_out(
    fault: Callable[[Callable[[Any], None], Any], None], why: str
) -> None:
    began = time.monotonic()
    with pytest.raises(MeasurementFailed, match=why):
        measure(Faulty(fault), SMALL, 200, patience=2)
    assert time.monotonic() - began < 5


def test_a_change_in_the_timed_phase_is_found_out() -> None:
    last = PAYLOADS["tuple"].specimens[-1]

    def change_always(put: Callable[[Any], None], item: Any) -> None:
        # The tags of phase 1 that collide with those of the timed phase are let through as they are.
        put(item) if item[-1] is not last[-1] else put((*item[:3], {"k": 2}))

    with pytest.raises(MeasurementFailed, match="changed"):
        measure(Faulty(change_always), SMALL, 64 * 61, patience=5)


def test_run_together_kills_who_does_not_end() -> None:
    def hang(_barrier: Any) -> int:
        time.sleep(60)
        return 1

    began = time.monotonic()
    with pytest.raises(MeasurementFailed, match="not done"):
        run_together([hang], patience=0.5)
    assert time.monotonic() - began < 3


def test_receiver_counts_and_samples() -> None:
    arrived = iter(range(1000))
    tally = Receiver(lambda: next(arrived)).receive(200, lambda item: item < 100)
    assert next(arrived) == 200
    assert tally.wrong == 2  # of the samples 0, 61, 122, 183
    assert tally.last_ns >= tally.first_ns
