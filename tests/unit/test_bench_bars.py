"""The benchmark's ratios, bars and verdicts, and the readings that have a bar of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conveyor.bench.backlog import Backlog, BacklogPoint, measure_backlog
from conveyor.bench.bars import BARS, BURNERS, Verdict, needed_rivals
from conveyor.bench.codec import Codec, CodecPoint, measure_codec
from conveyor.bench.codec_items import CODEC_ITEMS
from conveyor.bench.creation import Created, Creation, measure_creation
from conveyor.bench.extras import Extras
from conveyor.bench.idle import Idle, measure_idle
from conveyor.bench.measurement import MeasurementFailed, Sample, Workload
from conveyor.bench.memory import MAX_BYTES, TOTAL_BYTES, Memory, measure_memory
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.processes import FORK
from conveyor.bench.roofline import measure_copies
from conveyor.bench.start import Start, measure_start
from conveyor.bench.summary import Outcome, Row, spread
from conveyor.bench.topologies import TOPOLOGIES
from conveyor.bench.verdicts import LIMITS, judge


@pytest.fixture(autouse=True, scope="module")
def the_heap_of_multiprocessing() -> None:
    """The first Barrier makes multiprocessing keep an arena (two descriptors) for good: before any test."""
    FORK.Barrier(1)


def quiet(_text: str) -> None:
    """Say nothing."""


def sample(rate: float) -> Sample:
    return Sample(items=1000, seconds=1000 / rate, lead_seconds=0.0, cpu_seconds=0.1, faults=0)


def outcome(key: str, **rates: list[float]) -> Outcome:
    topology, payload = key.split("/")
    workload = Workload(TOPOLOGIES[topology], PAYLOADS[payload])
    rows = {name.replace("_", "-"): rates_ for name, rates_ in rates.items()}
    return Outcome(
        workload, {name: Row(name, [sample(rate) for rate in each]) for name, each in rows.items()}
    )


def test_medians_ratios_and_the_best_rival() -> None:
    some = outcome(
        "1:1/tuple",
        conveyor=[800.0, 1000.0, 1200.0],
        conveyor_many=[3000.0, 3000.0, 3000.0],
        multiprocessing=[100.0, 100.0, 150.0],
        cloudtoid=[500.0, 400.0, 600.0],
        faster_fifo_many=[900.0, 900.0, 900.0],
    )
    ratio = some.to_yardstick("conveyor")
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((10.0, 8.0, 10.0))
    single, many = some.to_best("conveyor"), some.to_best("conveyor-many")
    assert single is not None
    assert many is not None
    assert single.value == pytest.approx(2.0)  # against cloudtoid: like with like
    assert many.value == pytest.approx(3000 / 900)
    assert spread([5.0]) == (5.0, 5.0, 5.0)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


def test_a_partial_outcome_knows_no_best_rival() -> None:
    some = outcome("1:1/tuple", conveyor=[800.0], multiprocessing=[100.0])
    some.partial = True
    assert some.to_best("conveyor") is None
    assert some.to_yardstick("conveyor") is not None


def test_arrays_against_one_memcpy() -> None:
    some = outcome("1:1/numpy8m", conveyor=[700.0, 900.0, 800.0], multiprocessing=[50.0, 50.0, 50.0])
    some.copies = [1000.0, 1000.0, 1600.0]
    ratio = some.to_memcpy("conveyor")
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.8, 0.5, 0.9))
    verdicts = {verdict.name: verdict for verdict in judge({"1:1/numpy8m": some}, Extras(), {})}
    assert verdicts["numpy8m-1:1-memcpy"].met is True
    assert verdicts["numpy8m-1:1-memcpy"].measured.startswith("80%")
    assert verdicts["numpy8m-1:1"].met is True
    assert verdicts["numpy8m-1:1-best"].met is True  # the one rival there is


def test_what_was_skipped_is_not_judged_and_says_why() -> None:
    skipped = {"conveyor-allocate": "no allocate() here", "numpy64k": "No module named 'numpy'"}
    verdicts = {verdict.name: verdict for verdict in judge({}, Extras(), skipped)}
    assert verdicts["numpy8m-allocate"].measured == "skipped: no allocate() here"
    assert verdicts["numpy64k-1:1"].measured == "skipped: No module named 'numpy'"
    assert verdicts["log-1:1"].measured == verdicts["codec"].measured == "not measured"
    assert all(verdict.met is None for verdict in verdicts.values())


def test_codec_and_memory_are_judged() -> None:
    codec = Codec((CodecPoint("int", (400.0,), (100.0,), 17, 5), CodecPoint("str", (100.0,), (100.0,), 9, 0)))
    assert codec.ratio == pytest.approx(2.0)
    full = Memory(TOTAL_BYTES, 300 << 20, 30 << 20, MAX_BYTES - (8 << 20), 9.0, 400)

    def verdicts(memory: Memory) -> dict[str, bool | None]:
        return {verdict.name: verdict.met for verdict in judge({}, Extras(codec=codec, memory=memory), {})}

    assert verdicts(full)["codec"] is False
    assert verdicts(full)["memory"] is True
    assert verdicts(replace(full, total_bytes=1 << 30))["memory"] is None
    assert verdicts(replace(full, full_bytes=100 << 20))["memory"] is None
    assert verdicts(replace(full, peak_bytes=320 << 20))["memory"] is False


def test_bars_are_met_or_not_or_not_judged() -> None:
    outcomes = {
        "1:1/tuple": outcome("1:1/tuple", conveyor=[2600.0], multiprocessing=[100.0], cloudtoid=[1400.0]),
        "ping-pong/tuple": outcome("ping-pong/tuple", conveyor=[3100.0], multiprocessing=[100.0]),
    }
    outcomes["ping-pong/tuple"].others = 0.7
    backlog = Backlog((BacklogPoint(10, (100.0,), (100.0,)), BacklogPoint(10_000_000, (200.0,), (150.0,))))
    idle = Idle(100, 10.0, 0.05, 0.01, 1000, 3)
    extras = Extras(backlog=backlog, idle=idle)
    verdicts = {verdict.name: verdict for verdict in judge(outcomes, extras, {})}
    assert len(verdicts) == len(BARS) + 1 + len(LIMITS) + 4
    assert verdicts["tuple-1:1"].met is True
    assert verdicts["tuple-1:1-best"].met is False
    assert verdicts["ping-pong"].met is True
    assert "others used 0.7 cores" in verdicts["ping-pong"].measured
    assert verdicts["tuple-4:4"].met is None
    assert verdicts["tuple-4:4"].measured == "not measured"
    assert verdicts["backlog"].met is False
    assert verdicts["idle"].met is True
    extras = Extras(backlog=Backlog(backlog.points[:1], "only to 10"), missing={"idle": "failed: no"})
    shorter = judge({}, extras, {})
    assert shorter[-1].measured == "failed: no"
    assert [verdict.met for verdict in shorter] == [None] * len(shorter)


def test_bounded_queues_are_judged_beside_their_like() -> None:
    bounded = outcome(
        "1:1/tuple",
        conveyor=[700.0, 900.0, 400.0],
        conveyor_unbounded=[1000.0, 1000.0, 1000.0],
        multiprocessing=[50.0, 50.0, 40.0],
    )
    bounded.workload = replace(bounded.workload, maxsize=8)
    busy = replace(bounded, workload=replace(bounded.workload, burners=BURNERS))
    outcomes = {each.workload.key: each for each in (bounded, busy)}
    verdicts = {verdict.name: verdict for verdict in judge(outcomes, Extras(), {})}
    assert verdicts["tuple-8-unbounded"].met is True
    assert verdicts["tuple-8-unbounded"].value == pytest.approx(0.7)
    assert verdicts["tuple-8-unbounded"].measured.startswith("0.70x (0.40 to 0.90)")
    assert verdicts["tuple-8"].met is False  # 14x of 15x
    assert verdicts["tuple-8"].required == ">= 15x multiprocessing.Queue(8)"
    assert verdicts["tuple-8-busy"].met is True
    assert verdicts["tuple-1"].met is verdicts["numpy64k-8-unbounded"].met is None
    assert needed_rivals(bounded.workload.key) == {
        *("conveyor", "conveyor-many", "conveyor-unbounded", "multiprocessing"),
    }


def test_the_worst_round_is_judged_too() -> None:
    def steady(*rates: float) -> Verdict:
        outcomes = {"1:1/log": outcome("1:1/log", conveyor=list(rates), multiprocessing=[1.0, 1.0, 1.0])}
        return next(verdict for verdict in judge(outcomes, Extras(), {}) if verdict.name == "steady")

    assert steady(100.0, 40.0, 110.0).met is False
    assert steady(100.0, 40.0, 110.0).measured == "log-1:1 0.40x"
    assert steady(100.0, 60.0, 110.0).value == pytest.approx(0.6)
    assert steady(100.0, 60.0, 110.0).met is None  # the other bars were not measured
    every = {bar.key: outcome("1:1/log", conveyor=[9.0, 5.0, 9.0]) for bar in BARS}
    for each in every.values():
        each.rows |= {bar.rival: each.rows["conveyor"] for bar in BARS}
    verdicts = {verdict.name: verdict for verdict in judge(every, Extras(), {})}
    assert verdicts["steady"].met is True


def test_creation_and_start_are_judged() -> None:
    one, other = (
        Created(20_000.0, 1.0, 14_000.0, 1 << 20, 1.0),
        Created(80_000.0, 2.0, 7_000.0, 17_000.0, 3.0),
    )
    extras = Extras(creation=Creation((one, one), (other, other)), start=Start((0.02, 0.04), (0.02, 0.02)))

    def verdicts(extras: Extras) -> dict[str, bool | None]:
        return {verdict.name: verdict.met for verdict in judge({}, extras, {})}

    met = verdicts(extras)
    assert met["creation"] is met["creation-descriptors"] is met["creation-memory"] is True
    assert met["start"] is False  # 1.5x
    assert met["start-time"] is True  # 30 ms
    worse = replace(one, nanoseconds=90_000.0, descriptors=3.0, touched_bytes=70_000.0)
    met = verdicts(Extras(creation=Creation((worse,), (other,)), start=Start((0.031,), (0.04,))))
    assert met["creation"] is met["creation-descriptors"] is met["creation-memory"] is False
    assert met["start"] is True
    assert met["start-time"] is False


def test_creation_is_measured() -> None:
    creation = measure_creation(quiet, rounds=2, queues=20)
    assert len(creation.ours) == len(creation.theirs) == 2
    for each in creation.ours + creation.theirs:
        assert each.nanoseconds > 0
        assert each.descriptors >= 1
        assert each.touched_bytes > 0
        assert each.mapped_bytes >= 4096
    assert creation.ratio > 0


def test_start_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    start = measure_start(quiet, rounds=2)
    assert len(start.ours) == len(start.theirs) == 2
    assert min(start.ours + start.theirs) > 0
    assert start.seconds > 0
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(MeasurementFailed, match="exit code 1"):
        measure_start(quiet, rounds=1)


def test_backlog_is_measured() -> None:
    backlog = measure_backlog(quiet, largest=1000, rounds=2, moved=2000)
    assert [point.size for point in backlog.points] == [10, 100, 1000]
    assert all(len(point.put_ns) == len(point.get_ns) == 2 and point.cost_ns > 0 for point in backlog.points)
    assert backlog.missing


def test_codec_is_measured_over_the_whole_set() -> None:
    codec = measure_codec(quiet, rounds=2, slice_ms=0.2)
    assert [point.title for point in codec.points] == list(CODEC_ITEMS)
    for point in codec.points:
        assert len(point.pickle_ns) == len(point.native_ns) == 2
        assert min(point.pickle_ns + point.native_ns) > 0
        assert 0 < point.native_bytes <= point.pickle_bytes + 1
    assert codec.ratio > 0


def test_memory_is_watched_while_arrays_pass() -> None:
    pytest.importorskip("numpy")
    memory = measure_memory(quiet, total=400 << 20)
    assert memory.total_bytes == 400 << 20
    assert MAX_BYTES * 0.9 < memory.full_bytes <= MAX_BYTES
    assert memory.base_bytes < memory.full_bytes < memory.peak_bytes
    assert memory.samples > 5


def test_a_passage_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(MeasurementFailed, match="exit code 1"):
        measure_memory(quiet, total=8 << 20)


def test_bare_copies_are_measured() -> None:
    pytest.importorskip("numpy")
    assert measure_copies(PAYLOADS["numpy64k"], 0.01, 4) > 0


def test_idle_consumers_are_measured_and_woken() -> None:
    idle = measure_idle(quiet, processes=4, seconds=0.3, settle=0.2)
    assert idle.processes == 4
    assert 0.3 <= idle.seconds < 2
    assert idle.cpu_seconds >= 0
    assert idle.baseline_wakeups >= 0
