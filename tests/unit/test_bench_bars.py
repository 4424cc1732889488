"""The benchmark's ratios, bars and verdicts, and the readings that have a bar of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conveyor.bench.backlog import Backlog, BacklogPoint, measure_backlog
from conveyor.bench.bars import BARS
from conveyor.bench.codec import Codec, CodecPoint, measure_codec
from conveyor.bench.codec_items import CODEC_ITEMS
from conveyor.bench.extras import Extras
from conveyor.bench.idle import Idle, measure_idle
from conveyor.bench.measurement import MeasurementFailed, Sample, Workload
from conveyor.bench.memory import MAX_BYTES, TOTAL_BYTES, Memory, measure_memory
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.processes import FORK
from conveyor.bench.roofline import measure_copies
from conveyor.bench.summary import Outcome, Row, spread
from conveyor.bench.topologies import TOPOLOGIES
from conveyor.bench.verdicts import judge


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
        "1:1/tuple": outcome("1:1/tuple", conveyor=[1300.0], multiprocessing=[100.0], cloudtoid=[700.0]),
        "ping-pong/tuple": outcome("ping-pong/tuple", conveyor=[3100.0], multiprocessing=[100.0]),
    }
    outcomes["ping-pong/tuple"].others = 0.7
    backlog = Backlog((BacklogPoint(10, (100.0,), (100.0,)), BacklogPoint(10_000_000, (200.0,), (150.0,))))
    idle = Idle(100, 10.0, 0.05, 0.01, 1000, 3)
    extras = Extras(backlog=backlog, idle=idle)
    verdicts = {verdict.name: verdict for verdict in judge(outcomes, extras, {})}
    assert len(verdicts) == len(BARS) + 4
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
