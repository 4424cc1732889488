"""Reports: what they say holds a run up, and that their figures are true."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from stages import kill_on_seven, same

from conveyor import Pipeline, Report
from conveyor.pipeline.base.format import duration, short
from conveyor.pipeline.report.bottleneck import Pressure, bottleneck
from conveyor.pipeline.report.figures import StageReport
from conveyor.pipeline.supervise.worker_stats import WorkerStats
from conveyor.testing import Simulation

SECONDS = 0.01


def nap(item: Any) -> Any:
    time.sleep(SECONDS)
    return item


def compute(item: Any) -> Any:
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        pass
    return item


def napping() -> Iterator[int]:
    for number in range(60):
        time.sleep(SECONDS)
        yield number


async def doze(item: Any) -> Any:
    import asyncio

    await asyncio.sleep(2 * SECONDS)
    return item


def bad(item: int) -> int:
    raise ValueError(f"<script>&\x1b[31m{item}")


def slow_by_name(stage: str, item: Any) -> float:
    return SECONDS if stage == "slow" else SECONDS / 100


class TestBottleneck:
    def test_a_slow_source(self) -> None:
        text = Pipeline(napping).map(same, workers=1).to(list).run().bottleneck
        assert text.startswith("The source is the bottleneck: the stages waited for it ")

    def test_a_slow_first_and_a_slow_last_stage(self) -> None:
        """Which it is, in the simulated world; what to do, by how much of a processor its worker took."""
        numbers = Pipeline(range(60))
        first = numbers.map(same, workers=1, name="slow").map(same, workers=1)
        last = numbers.map(same, workers=1).map(same, workers=1, name="slow")
        for made in (first, last):
            report = Simulation(delay=slow_by_name, late=0).run(made.to(list))
            assert report.bottleneck.startswith("'slow' is the bottleneck: its only worker worked ")
            for computed, advice in (
                (0.1, "mostly waiting: give it workers=2"),
                (0.9, "and all 2 processors are in use: make it quicker, or give it more processors"),
            ):
                pressure = Pressure(report.seconds, 2, taken=1.0, own=0.1, hub=0.1, computed=computed)
                assert advice in bottleneck(list(report.stages), pressure)

    def test_a_slow_end(self) -> None:
        text = Pipeline(range(60)).map(same, workers=1).to(nap).run().bottleneck
        assert text.startswith("'to nap' is the bottleneck: this process was at it")
        assert "map()" in text

    def test_a_slow_tee(self) -> None:
        text = Pipeline(range(60)).map(same, workers=1).tee(nap).to(list).run().bottleneck
        assert text.startswith("'tee nap' is the bottleneck")

    def test_items_too_small(self) -> None:
        text = Pipeline(range(400_000)).map(same, workers=1).to(list).run().bottleneck
        assert "batch(1000)" in text

    def test_too_little_for_processes(self) -> None:
        report = Pipeline(range(2)).map(same, workers=1).to(list).run(start_method="spawn")
        assert report.bottleneck.startswith("Starting workers took ")
        assert "threads=" in report.bottleneck

    def test_threads_that_wait_and_threads_that_compute(self) -> None:
        waiting = Pipeline(range(80)).map(nap, threads=2).to(list).run().bottleneck
        assert "mostly waiting: give it threads=4" in waiting
        computing = Pipeline(range(60)).map(compute, threads=2).to(list).run().bottleneck
        assert computing.startswith("'compute' is the bottleneck: its 2 threads")

    def test_coroutines(self) -> None:
        text = Pipeline(range(100)).map(doze, concurrency=4).to(list).run().bottleneck
        assert text.startswith("'doze' is the bottleneck: its 4 coroutines")
        assert "concurrency=8" in text

    def test_workers_of_an_idle_stage(self) -> None:
        worker = WorkerStats(1, 100, 0.01, 9.5, 0.5, 0.0, None, "", 0)
        stages = [
            StageReport(
                "busy", "processes", 100, 100, 0, 0, 0, 0, (worker,), 2, busy_seconds=19.0, wait_seconds=1.0
            ),
            StageReport(
                "idle", "processes", 100, 100, 0, 0, 0, 0, (worker,), 3, busy_seconds=3.0, wait_seconds=27.0
            ),
        ]
        text = bottleneck(stages, Pressure(10.0, 2, taken=1.0, own=0.1, hub=0.1, computed=1.0))
        assert "'busy' is the bottleneck: its 2 workers worked 95% of the time" in text
        assert "those of 'idle' worked 10%: give it workers of those" in text

    def test_nothing_to_do(self) -> None:
        assert Pipeline([]).map(same).to(list).run().bottleneck.startswith("Nothing came from the source")


class TestFigures:
    def test_times_are_those_of_the_clock(self) -> None:
        report = Pipeline(range(60)).map(nap, workers=2).to(list).run()
        stage = report.stages[1]
        # A step of the histogram is a quarter of an octave wide; sleeping may take longer, never less.
        assert 0.85 * SECONDS <= stage.p50 <= stage.p90 <= stage.p99 <= stage.slowest[0].seconds
        assert stage.p50 < 2 * SECONDS
        assert 60 * SECONDS <= stage.busy_seconds <= 2 * report.seconds
        assert all(
            worker.busy_seconds + worker.wait_seconds <= report.seconds + 0.05 for worker in stage.workers
        )
        assert 0.7 < stage.load <= 1

    def test_a_steps_time_in_this_process(self) -> None:
        waited = Pipeline(napping).map(same, workers=1).to(list).run()
        ended = Pipeline(range(60)).map(same, workers=1).to(nap).run()
        for report, stage in ((waited, waited.stages[0]), (ended, ended.stages[-1])):
            assert 60 * SECONDS * 0.8 <= stage.busy_seconds <= report.seconds
            assert stage.busy_seconds + stage.wait_seconds <= report.seconds * 1.01

    def test_workers_and_their_ends_are_listed(self) -> None:
        report = Pipeline(range(40)).map(kill_on_seven, workers=1, on_error="skip").to(list).run()
        text = str(report)
        assert report.deaths == 1
        assert "1 failed, 1 worker died" in text
        for worker in report.stages[1].workers:
            assert str(worker.pid) in text
        assert "killed by SIGKILL" in text
        assert max(map(len, text.splitlines()[:1])) < 80

    def test_lines_fit_and_control_characters_do_not_pass(self) -> None:
        report = (
            Pipeline(["\x1b[2J" + "x" * 500])
            .map(nap, threads=1)
            .map(bad, threads=1, on_error="skip")
            .to(list)
            .run()
        )
        text = str(report)
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) < 400

    def test_durations(self) -> None:
        found = [duration(value) for value in (0, 8.5e-7, 12e-6, 0.0034, 0.9996, 0.123456, 2.1, 99.96, 3725)]
        assert found == [
            "0",
            "850 ns",
            "12 µs",
            "3.4 ms",
            "1 s",
            "123 ms",
            "2.1 s",
            "1 min 40 s",
            "1 h 2 min",
        ]
        assert duration(0.12345, 2) == "123 ms"
        assert short("a\nb" * 50, 8) == "'a\\nba\\…"


class _Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


class TestPage:
    def page(self, report: Report, folder: Path) -> tuple[str, _Page]:
        report.to_html(folder / "report.html")
        text = (folder / "report.html").read_text(encoding="utf-8")
        return text, _Page(text)

    def test_all_is_escaped_and_inside(self, tmp_path: Path) -> None:
        made = Pipeline(range(30), name="<b>&'\"").map(bad, workers=2, on_error="skip", name="<i>'\"")
        text, page = self.page(made.to(list).run(), tmp_path)
        names = {tag for tag, _ in page.tags}
        assert not names & {"script", "b>", "link", "img"}
        assert "&lt;script&gt;" in text
        assert "\x1b" not in text
        assert not any("src" in attributes or "href" in attributes for _, attributes in page.tags)

    def test_a_bar_for_each_worker_and_a_line_for_each_stage(self, tmp_path: Path) -> None:
        made = Pipeline(range(50))
        for _ in range(8):
            made = made.map(same, workers=1)
        report = made.to(list).run()
        _, page = self.page(report, tmp_path)
        assert sum(tag == "polyline" for tag, _ in page.tags) == len(report.stages) == 10
        assert sum(tag == "g" for tag, _ in page.tags) == 8
        bars = [attributes for tag, attributes in page.tags if tag == "rect"]
        assert all(float(str(bar["width"])) >= 0 and float(str(bar["x"])) < 900 for bar in bars)

    def test_an_empty_run(self, tmp_path: Path) -> None:
        text, page = self.page(Pipeline([]).map(same).to(list).run(), tmp_path)
        assert "Nothing came from the source" in text
        assert not any(tag == "svg" for tag, _ in page.tags)

    def test_json_has_the_times_of_all_steps(self) -> None:
        found = json.loads(Pipeline(range(20)).map(same, threads=1).to(nap).run().to_json())
        assert found["stages"][-1]["busy_seconds"] >= 20 * SECONDS
