"""The benchmark measures, checks what it measures, and reports it. Nothing here asserts a speed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conveyor.bench.backlog import Backlog, BacklogPoint, measure_backlog
from conveyor.bench.bars import BARS, judge
from conveyor.bench.cli import main
from conveyor.bench.document import SCHEMA
from conveyor.bench.idle import Idle, measure_idle
from conveyor.bench.measurement import MeasurementFailed, Sample, Workload, measure
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.processes import FORK, run_together
from conveyor.bench.rivals import RIVALS, Channel, Receiver, Rival, Sender, Shape
from conveyor.bench.rivals.standard_library import QueueChannel, StandardQueue
from conveyor.bench.summary import Outcome, Row, spread
from conveyor.bench.topologies import TOPOLOGIES

SMALL = Workload(TOPOLOGIES["1:1"], PAYLOADS["tuple"])


@pytest.fixture(autouse=True, scope="module")
def the_heap_of_multiprocessing() -> None:
    """The first Barrier makes multiprocessing keep an arena (two descriptors) for good: before any test."""
    FORK.Barrier(1)


def quiet(_text: str) -> None:
    """Say nothing."""


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
    workload = Workload(TOPOLOGIES["1:1"], PAYLOADS[payload])
    for rival in ("conveyor", "multiprocessing"):
        assert measure(RIVALS[rival], workload, 70, hot=hot, patience=20).items == 69


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
        assert measure(RIVALS[name], workload, 208, patience=20).items == 207


@pytest.mark.parametrize("name", PAYLOADS)
def test_items_are_distinct_and_know_their_tag(name: str) -> None:
    payload = PAYLOADS[name]
    assert [payload.tag(payload.make(tag)) for tag in (0, 1, 70_000)] == [0, 1, 70_000]
    assert payload.make(1) != payload.make(2)
    assert all(payload.is_specimen(item) for item in payload.specimens)
    assert len({payload.tag(item) for item in payload.specimens}) == len(payload.specimens) >= 64
    assert not payload.is_specimen(payload.make(5))


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


def test_bars_are_met_or_not_or_not_judged() -> None:
    outcomes = {
        "1:1/tuple": outcome("1:1/tuple", conveyor=[800.0], multiprocessing=[100.0], cloudtoid=[700.0]),
        "ping-pong/tuple": outcome("ping-pong/tuple", conveyor=[3100.0], multiprocessing=[100.0]),
    }
    outcomes["ping-pong/tuple"].others = 0.7
    backlog = Backlog((BacklogPoint(10, (100.0,), (100.0,)), BacklogPoint(10_000_000, (200.0,), (150.0,))))
    idle = Idle(100, 10.0, 0.05, 0.01, 1000, 3)
    verdicts = {verdict.name: verdict for verdict in judge(outcomes, backlog, idle)}
    assert len(verdicts) == len(BARS) + 2
    assert verdicts["tuple-1:1"].met is True
    assert verdicts["tuple-1:1-best"].met is False
    assert verdicts["ping-pong"].met is True
    assert "others used 0.7 cores" in verdicts["ping-pong"].measured
    assert verdicts["tuple-4:4"].met is None
    assert verdicts["tuple-4:4"].measured == "not measured"
    assert verdicts["backlog"].met is False
    assert verdicts["idle"].met is True
    shorter = judge({}, Backlog(backlog.points[:1], "only to 10"), "failed: no")
    assert [verdict.met for verdict in shorter] == [None] * len(shorter)


def test_backlog_is_measured() -> None:
    backlog = measure_backlog(quiet, largest=1000, rounds=2, moved=2000)
    assert [point.size for point in backlog.points] == [10, 100, 1000]
    assert all(len(point.put_ns) == len(point.get_ns) == 2 and point.cost_ns > 0 for point in backlog.points)
    assert backlog.missing


def test_idle_consumers_are_measured_and_woken() -> None:
    idle = measure_idle(quiet, processes=4, seconds=0.3, settle=0.2)
    assert idle.processes == 4
    assert 0.3 <= idle.seconds < 2
    assert idle.cpu_seconds >= 0
    assert idle.baseline_wakeups >= 0


def test_json_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--topology 1:1,ping-pong --payload int --rival conveyor,multiprocessing --repeats 2 --items 200"
    path = tmp_path / "run.json"
    assert main([*words.split(), "--json", str(path)]) == 0
    assert "multiprocessing.Queue" in capsys.readouterr().out
    document = json.loads(path.read_text())
    assert document["schema"] == SCHEMA
    assert set(document) == {
        *("schema", "machine", "options", "skipped", "unmeasured", "failures"),
        *("workloads", "bars", "backlog", "idle", "elapsed_seconds"),
    }
    assert {"cpu", "cores", "kernel", "python", "packages", "commit", "load_before", "load_after"} <= set(
        document["machine"]
    )
    assert document["bars"] == []
    assert [each["key"] for each in document["workloads"]] == ["1:1/int", "ping-pong/int"]
    for workload in document["workloads"]:
        assert set(workload) == {
            *("key", "topology", "producers", "consumers", "payload", "payload_bytes", "unit"),
            *("others_cores", "rows"),
        }
        assert [row["rival"] for row in workload["rows"]] == ["conveyor", "multiprocessing"]
        for row in workload["rows"]:
            assert row["failure"] is None
            assert len(row["samples"]) == 2
            assert row["rate_quartiles"][0] <= row["rate"] <= row["rate_quartiles"][1]
            assert set(row["to_multiprocessing"]) == {"value", "low", "high"}
        assert workload["rows"][1]["to_multiprocessing"]["value"] == 1


def test_json_on_stdout_leaves_it_to_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--topology 1:1 --payload int --rival multiprocessing --repeats 1 --items 200 --json -"
    assert main(words.split()) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == SCHEMA
    assert "multiprocessing.Queue" in captured.err


@pytest.mark.leaves("matplotlib keeps its font files open")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_chart(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"chart.{suffix}"
    words = "--topology 1:1 --payload int,tuple --rival conveyor,multiprocessing --repeats 1 --items 200"
    assert main([*words.split(), "--plot", str(path)]) == 0
    assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    "words", [["--rival", "nobody"], ["--repeats", "0"], ["--nonsense"], ["--maxsize", "-1"]]
)
def test_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out + captured.err


def test_a_missing_rival_is_skipped_in_sight(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(self: Rival) -> None:
        raise ImportError("No module named 'zmq'")

    monkeypatch.setattr(type(RIVALS["pyzmq"]), "load", missing)
    words = "--topology 1:1 --payload int --rival multiprocessing,pyzmq --repeats 1 --items 200"
    assert main(words.split()) == 0
    assert "skipped: pyzmq" in capsys.readouterr().out


def test_a_failing_rival_is_reported_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Rival, shape: Shape) -> Channel:
        raise MeasurementFailed("it is broken")

    monkeypatch.setattr(type(RIVALS["simplequeue"]), "open", broken)
    words = "--topology 1:1 --payload int --rival multiprocessing,simplequeue --repeats 1 --items 200"
    assert main(words.split()) == 1
    assert "FAILED: 1:1/int, simplequeue: it is broken" in capsys.readouterr().out


def test_receiver_counts_and_samples() -> None:
    arrived = iter(range(1000))
    tally = Receiver(lambda: next(arrived)).receive(200, lambda item: item < 100)
    assert next(arrived) == 200
    assert tally.wrong == 2  # of the samples 0, 61, 122, 183
    assert tally.last_ns >= tally.first_ns
