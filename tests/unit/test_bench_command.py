"""``conveyor bench`` as a command: its report, JSON, chart, exit codes, and what it says of what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conveyor.bench.cli import main
from conveyor.bench.document import SCHEMA
from conveyor.bench.measurement import MeasurementFailed
from conveyor.bench.payloads import Payload
from conveyor.bench.processes import FORK
from conveyor.bench.rivals import RIVALS, Channel, Rival, Shape


@pytest.fixture(autouse=True, scope="module")
def the_heap_of_multiprocessing() -> None:
    """The first Barrier makes multiprocessing keep an arena (two descriptors) for good: before any test."""
    FORK.Barrier(1)


def test_json_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--topology 1:1,ping-pong --payload int --rival conveyor,multiprocessing --repeats 2 --items 200"
    path = tmp_path / "run.json"
    assert main([*words.split(), "--json", str(path)]) == 0
    assert "multiprocessing.Queue" in capsys.readouterr().out
    document = json.loads(path.read_text())
    assert document["schema"] == SCHEMA
    assert set(document) == {
        *("schema", "machine", "options", "skipped", "unmeasured", "failures"),
        *("workloads", "bars", "backlog", "idle", "codec", "memory", "creation", "start", "elapsed_seconds"),
    }
    assert {"cpu", "cores", "kernel", "python", "packages", "commit", "load_before", "load_after"} <= set(
        document["machine"]
    )
    assert document["bars"] == []
    assert [each["key"] for each in document["workloads"]] == ["1:1/int", "ping-pong/int"]
    for workload in document["workloads"]:
        assert set(workload) == {
            *("key", "topology", "producers", "consumers", "payload", "payload_bytes", "unit"),
            *("maxsize", "burners"),
            *("others_cores", "partial", "memcpy_bytes_per_second", "rows"),
        }
        assert [row["rival"] for row in workload["rows"]] == ["conveyor", "multiprocessing"]
        for row in workload["rows"]:
            assert row["failure"] is None
            assert len(row["samples"]) == 2
            assert row["rate_worst"] == min(each["items"] / each["seconds"] for each in row["samples"])
            assert row["rate_quartiles"][0] <= row["rate"] <= row["rate_quartiles"][1]
            assert set(row["to_multiprocessing"]) == {"value", "low", "high"}
        assert workload["rows"][1]["to_multiprocessing"]["value"] == 1


def test_json_on_stdout_leaves_it_to_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--topology 1:1 --payload int --rival multiprocessing --repeats 1 --items 200 --json -"
    assert main(words.split()) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == SCHEMA
    assert "multiprocessing.Queue" in captured.err


def test_bounds_and_a_busy_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--topology 1:1 --payload tuple --rival conveyor,conveyor-unbounded,multiprocessing,simplequeue"
    path = tmp_path / "run.json"
    more = ["--maxsize", "1,8", "--burners", "1", "--repeats", "2", "--items", "200", "--json", str(path)]
    assert main([*words.split(), *more]) == 0
    out = capsys.readouterr().out
    assert "CPU burners: 1" in out
    workloads = json.loads(path.read_text())["workloads"]
    assert [each["key"] for each in workloads] == [
        f"1:1/tuple/maxsize={maxsize}/burners=1" for maxsize in (1, 8)
    ]
    assert [(each["maxsize"], each["burners"]) for each in workloads] == [(1, 1), (8, 1)]
    for each in workloads:
        names = [row["rival"] for row in each["rows"]]
        assert names == ["conveyor", "conveyor-unbounded", "multiprocessing"]
        assert each["rows"][0]["to_unbounded"]["value"] > 0


@pytest.mark.leaves("matplotlib keeps its font files open")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_chart(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"chart.{suffix}"
    words = "--topology 1:1 --payload int,tuple --rival conveyor,multiprocessing --repeats 1 --items 200"
    assert main([*words.split(), "--plot", str(path)]) == 0
    assert path.stat().st_size > 5000


@pytest.mark.leaves("matplotlib keeps its font files open")
def test_the_chart_of_an_earlier_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = tmp_path / "run.json"
    words = "--topology 1:1 --payload int,numpy8m --rival conveyor,multiprocessing --maxsize 0,2 --repeats 2 --items 20"
    charts = [tmp_path / name for name in ("then.svg", "again.svg")]
    assert main([*words.split(), "--json", str(results), "--plot", str(charts[0])]) == 0
    assert main(["--read", str(results), "--plot", str(charts[1])]) == 0
    assert charts[0].read_bytes() == charts[1].read_bytes()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{}", "its schema is None"),
        ("[]", "its schema is None"),
        ("nothing", "Expecting value"),
        ('{"schema": "conveyor-bench/9"}', "conveyor-bench/9"),
        ('{"schema": "conveyor-bench/1"}', "incomplete"),
    ],
)
def test_what_is_no_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, wrong: str
) -> None:
    results = tmp_path / "run.json"
    results.write_text(text)
    assert main(["--read", str(results), "--plot", str(tmp_path / "chart.svg")]) == 2
    captured = capsys.readouterr()
    assert str(results) in captured.err
    assert wrong in captured.err


def test_an_earlier_run_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "run.json"
    assert main(["--read", str(results), "--plot", str(tmp_path / "chart.svg")]) == 2
    assert f"{results}: No such file" in capsys.readouterr().err
    assert main(["--read", str(results)]) == 2
    assert "--plot" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--rival", "nobody"],
        ["--repeats", "0"],
        ["--nonsense"],
        ["--maxsize", "-1"],
        ["--maxsize", "2,x"],
        ["--burners", "-1"],
    ],
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


def test_a_missing_numpy_is_skipped_in_sight(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(self: Payload) -> None:
        if self.array:
            raise ImportError("No module named 'numpy'")

    monkeypatch.setattr(Payload, "load", missing)
    words = "--topology 1:1 --payload int,numpy64k --rival multiprocessing --repeats 1 --items 200"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert "skipped: NumPy 64 KiB: No module named 'numpy'" in out
    assert "int" in out


def test_a_rival_that_breaks_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Rival, shape: Shape) -> Channel:
        raise OSError("no space on /dev/shm")

    def unloadable(self: Rival) -> None:
        raise RuntimeError("not on this system")

    monkeypatch.setattr(type(RIVALS["simplequeue"]), "open", broken)
    monkeypatch.setattr(type(RIVALS["dejaq"]), "load", unloadable)
    words = "--topology 1:1 --payload int --rival multiprocessing,simplequeue,dejaq --repeats 1 --items 200"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert "FAILED: 1:1/int, simplequeue: OSError: no space on /dev/shm" in out
    assert "skipped: dejaq: RuntimeError: not on this system" in out


def test_a_failing_rival_is_reported_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Rival, shape: Shape) -> Channel:
        raise MeasurementFailed("it is broken")

    monkeypatch.setattr(type(RIVALS["simplequeue"]), "open", broken)
    words = "--topology 1:1 --payload int --rival multiprocessing,simplequeue --repeats 1 --items 200"
    assert main(words.split()) == 0
    assert "FAILED: 1:1/int, simplequeue: it is broken" in capsys.readouterr().out
    monkeypatch.setattr(type(RIVALS["conveyor"]), "open", broken)
    assert main([*words.split(), "--rival", "conveyor"]) == 1
