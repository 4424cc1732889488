"""What a report says is what happened: its sums, its verdict on the bottleneck, its page and its JSON."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import html5lib
import pytest
from stages import FailsTimes, always_fails, fail_on_seven, kill_on_seven, same, slow_item, thrice

from conveyor import Pipeline, Report

SVG = "{http://www.w3.org/2000/svg}"
METHODS: list[Any] = ["fork", "spawn", "forkserver"]


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def quick(item: int) -> int:
    return item


def slow(item: int) -> int:
    time.sleep(0.02)
    return item


def waits_as_it_says(item: float) -> float:
    time.sleep(item)
    return item


def slow_numbers() -> Iterator[int]:
    for number in range(40):
        time.sleep(0.02)
        yield number


@pytest.mark.parametrize("method", METHODS)
class TestSums:
    def test_all_figures_fit_together(self, method: Any) -> None:
        stages = (
            Pipeline(range(300))
            .map(fail_on_seven, workers=2, on_error="skip", name="first")
            .flat_map(thrice, workers=1, name="second")
            .batch(10)
            .map(len, workers=1, name="third")
        )
        report = stages.to(list).run(start_method=method)
        assert (report.taken, report.failures, report.results, report.in_flight) == (300, 1, 90, 0)
        assert sum(report.result) == 897
        source, first, second, batch, third, sink = report.stages
        for before, after in (
            (source, first),
            (first, second),
            (second, batch),
            (batch, third),
            (third, sink),
        ):
            assert before.given == after.taken
        assert first.taken == first.given + first.failures == 300
        assert (second.taken, second.given, batch.given) == (299, 897, 90)
        assert sum(stage.failures for stage in report.stages) == report.failures
        for stage in (first, second, third):
            assert sum(worker.items for worker in stage.workers) == stage.taken
            assert sum(worker.busy_seconds for worker in stage.workers) == pytest.approx(stage.busy_seconds)
            assert sum(worker.wait_seconds for worker in stage.workers) == pytest.approx(stage.wait_seconds)
            assert 0 <= stage.load <= 1
            assert 0 < stage.p50 <= stage.p90 <= stage.p99
            assert len({worker.pid for worker in stage.workers} | {os.getpid()}) == len(stage.workers) + 1
            for worker in stage.workers:
                assert worker.start_seconds > 0
                assert worker.died is not None
                life = worker.died - worker.born
                assert worker.busy_seconds + worker.wait_seconds <= life + 0.01
                assert worker.start_seconds <= life
                assert worker.peak_memory > 1_000_000
                assert worker.end == ""
        assert report.seconds > 0
        assert report.rate == pytest.approx(300 / report.seconds)
        assert report.memory > sum(worker.peak_memory for worker in third.workers)
        counts = [counts for _, counts in report.timeline]
        assert list(counts[-1]) == [stage.given for stage in report.stages]
        assert counts == sorted(counts)
        assert not report.ok

    def test_retries_and_deaths(self, method: Any, tmp_path: Path) -> None:
        flaky = FailsTimes(str(tmp_path), 1, "kill")
        report = Pipeline(range(5)).map(flaky, workers=1, retries=1, backoff=0).run(start_method=method)
        stage = report.stages[1]
        assert (report.retries, stage.retries, stage.deaths, report.failures) == (5, 5, 5, 0)
        assert sum(worker.end.startswith("killed by SIGKILL") for worker in stage.workers) == 5
        assert report.ok

    def test_percentiles_and_slowest_items(self, method: Any) -> None:
        seconds = [0.002] * 90 + [0.03] * 9 + [0.25]
        report = Pipeline(seconds).map(waits_as_it_says, workers=1).run(start_method=method)
        stage = report.stages[1]
        assert 0.0015 < stage.p50 < 0.006
        assert 0.02 < stage.p99 < 0.2
        assert (stage.slowest[0].item, stage.slowest[0].number) == (0.25, 99)
        assert 0.03 in [slow.item for slow in stage.slowest]  # with one or two that the machine made slow
        assert 0.25 <= stage.slowest[0].seconds < 0.5
        assert [slow.seconds for slow in stage.slowest] == sorted(
            (s.seconds for s in stage.slowest), reverse=True
        )


class TestOtherWorkers:
    @pytest.mark.parametrize("options", [{"threads": 2}, {"concurrency": 2}])
    def test_threads_and_coroutines(self, options: dict[str, int]) -> None:
        async def coroutine(item: int) -> int:
            return item

        function: Any = coroutine if "concurrency" in options else quick
        report = Pipeline(range(100)).map(function, **options).run()  # type: ignore[arg-type]
        stage = report.stages[1]
        assert (report.results, stage.taken, stage.given) == (100, 100, 100)
        assert sum(worker.items for worker in stage.workers) == 100
        assert {worker.pid for worker in stage.workers} == {0}

    def test_threads_mixed_with_processes_and_coroutines(self) -> None:
        async def plus_one(item: int) -> int:
            return item + 1

        stages = (
            Pipeline(range(500), ordered=True)
            .map(plus_one)
            .map(same, workers=2)
            .map(lambda item: item + 1, threads=3)
        )
        assert list(stages.map(plus_one, concurrency=5).filter(bool, workers=1).stream()) == list(
            range(3, 503)
        )


class TestBottleneck:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_slow_first_stage(self, method: Any) -> None:
        came: list[int] = []

        def numbers() -> Iterator[int]:
            """For so long that what the workers took to start, which is long on a busy machine, is little of it."""
            began = time.monotonic()
            while not came:
                yield 1
            enough = 4 * (time.monotonic() - began) + 0.5
            while time.monotonic() < began + enough:
                yield 1

        stages = Pipeline(numbers).map(slow, workers=1, name="read").map(quick, workers=1).to(came.append)
        report = stages.run(start_method=method)
        assert report.bottleneck.startswith("'read' is the bottleneck: its only worker worked ")


class TestWhatToChange:
    def test_more_workers(self) -> None:
        report = Pipeline(range(60)).map(slow, workers=1).run(jobs=4)
        assert report.bottleneck.endswith(": give it workers=2.")

    def test_more_threads_and_coroutines(self) -> None:
        assert "give it threads=4" in Pipeline(range(60)).map(slow, threads=2).run().bottleneck


@pytest.fixture(scope="module")
def report() -> Report:
    """A report with everything in it: failures, deaths, dead letters, odd names."""
    stages = (
        Pipeline([*range(30), 7, 7], name='<b>odd & "named"</b>')
        .map(kill_on_seven, workers=2, on_error="dead_letter", name="a < b")
        .map(slow_item, workers=1)
        .map(always_fails, threads=1, on_error="skip", name="it's")
    )
    return stages.to(list).run()


class TestPage:
    def test_one_valid_file_that_needs_nothing_else(self, report: Report, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        report.to_html(path)
        text = path.read_text()
        parser = html5lib.HTMLParser(namespaceHTMLElements=False)
        page = parser.parse(text)
        assert not parser.errors
        for word in ("http:", "https:", "src=", "href=", "@import", "url(", "<script"):
            assert word not in text
        assert page.find(".//title").text == '<b>odd & "named"</b>: a run of conveyor'
        assert page.find(".//h1").text == '<b>odd & "named"</b>'
        assert [heading.text for heading in page.iter("h2")] == [
            "Stages",
            "Items over time",
            "Workers",
            "Slowest items",
            "Failures",
        ]
        assert len(list(page.iter(f"{SVG}polyline"))) == len(report.stages)
        assert len(list(page.iter(f"{SVG}g"))) == sum(len(stage.workers) for stage in report.stages)
        assert report.bottleneck in "".join(page.find(".//p[@class='verdict']").itertext())

    def test_of_an_empty_run(self, tmp_path: Path) -> None:
        Pipeline([]).run().to_html(tmp_path / "report.html")
        parser = html5lib.HTMLParser()
        parser.parse((tmp_path / "report.html").read_text())
        assert not parser.errors


# What scripts rely on: names and types of the JSON.
STAGE = {
    "name": str,
    "kind": str,
    "taken": int,
    "given": int,
    "failures": int,
    "retries": int,
    "waiting": int,
    "in_flight": int,
    "workers": list,
    "size": int,
    "deaths": int,
    "renewed": int,
    "busy_seconds": float,
    "wait_seconds": float,
    "p50": float,
    "p90": float,
    "p99": float,
    "slowest": list,
    "load": float,
}
WORKER = {
    "pid": int,
    "items": int,
    "start_seconds": float,
    "busy_seconds": float,
    "wait_seconds": float,
    "born": float,
    "died": float,
    "end": str,
    "peak_memory": int,
}
WHOLE = {
    "name": str,
    "seconds": float,
    "taken": int,
    "results": int,
    "failures": int,
    "retries": int,
    "dead": int,
    "in_flight": int,
    "resumed": int,
    "stages": list,
    "bottleneck": str,
    "interrupted": str,
    "partial": list,
    "blas": str,
    "memory": int,
    "timeline": list,
    "rate": float,
    "dead_letters": list,
    "first_failures": list,
}


def check(found: dict[str, Any], schema: dict[str, type]) -> None:
    assert found.keys() == schema.keys()
    for name, kind in schema.items():
        assert type(found[name]) in ((kind, int) if kind is float else (kind,)), name


class TestJson:
    def test_schema(self, report: Report) -> None:
        found = json.loads(report.to_json())
        check(found, WHOLE)
        for stage in found["stages"]:
            check(stage, STAGE)
            for worker in stage["workers"]:
                check(worker, WORKER)
            for slow in stage["slowest"]:
                check(slow, {"seconds": float, "number": int, "item": str})
        for letter in found["dead_letters"]:
            check(letter, {"item": str, "attempts": int, "error": str, "pid": int})
        for failure in found["first_failures"]:
            check(
                failure, {"stage": str, "number": int, "item": str, "attempts": int, "error": str, "pid": int}
            )
        assert (found["dead"], found["failures"], len(found["dead_letters"])) == (3, 32, 3)

    def test_items_that_cannot_be_copied_or_shown(self, tmp_path: Path) -> None:
        class Odd:
            def __init__(self) -> None:
                self.lock = threading.Lock()

            def __repr__(self) -> str:
                raise RuntimeError("no")

        report = (
            Pipeline([Odd(), Odd()])
            .map(slow_item, threads=1)
            .map(always_fails, threads=1, on_error="skip")
            .run()
        )
        assert "whose repr raises" in report.to_json()
        report.to_html(tmp_path / "report.html")
        assert "Odd" in str(report)


class TestText:
    def test_what_people_read(self, report: Report) -> None:
        text = str(report)
        assert text.startswith('<b>odd & "named"</b>: 32 items in ')
        for part in ("a < b", "slowest items", "failures", "SIGKILL", "memory:"):
            assert part in text
        assert report.bottleneck in " ".join(text.split())
