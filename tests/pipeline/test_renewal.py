"""Workers that are renewed after so many items, or when they have too much memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stages import DiesFourTimes, fail_on_seven, same, span

from conveyor import Pipeline, PipelineError, Worker
from conveyor.pipeline.base.byte_size import bytes_of

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
_hoard: list[bytearray] = []


def who(item: int, worker: Worker) -> tuple[int, int, int, int]:
    return item, os.getpid(), worker.rank, worker.attempt


async def who_async(item: int, worker: Worker) -> tuple[int, int, int, int]:
    return item, id(worker), worker.rank, worker.attempt


def hoard(item: int) -> tuple[int, int]:
    """Keeps 20 MB more with each item."""
    _hoard.append(bytearray(b"x") * 20_000_000)
    return os.getpid(), len(_hoard)


def keyed_pid(item: int) -> tuple[int, int, int]:
    return item % 3, item, os.getpid()


class Slow:
    """Its first item is slow; counts its items."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, item: int) -> tuple[int, int]:
        if not self.count:
            time.sleep(0.01)
        self.count += 1
        return item, self.count


class TestByItems:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("workers", [1, 2])
    def test_after_exactly_so_many(self, method: Any, workers: int) -> None:
        stage = Pipeline(range(35)).map(who, workers=workers, ordered=True, max_items_per_worker=5)
        report = stage.to(list).run(start_method=method)
        assert [item for item, *_ in report.result] == list(range(35))
        by_worker: dict[int, int] = {}
        for _, pid, _, _ in report.result:
            by_worker[pid] = by_worker.get(pid, 0) + 1
        assert max(by_worker.values()) == 5
        assert {rank for _, _, rank, _ in report.result} <= set(range(workers))
        assert report.renewed == report.stages[1].renewed >= 35 // 5 - workers
        assert "workers renewed" in str(report)
        assert not report.deaths
        assert {worker.end for worker in report.stages[1].workers} == {""}

    @pytest.mark.parametrize(("function", "where"), [(who, {"threads": 2}), (who_async, {"concurrency": 2})])
    def test_in_threads_and_coroutines(self, function: Any, where: dict[str, Any]) -> None:
        stage = Pipeline(range(40)).map(function, ordered=True, max_items_per_worker=4, **where)
        report = stage.to(list).run()
        assert [item for item, *_ in report.result] == list(range(40))
        by_worker: dict[tuple[int, int], int] = {}
        for _, _, rank, attempt in report.result:
            by_worker[rank, attempt] = by_worker.get((rank, attempt), 0) + 1
        assert max(by_worker.values()) == 4
        assert report.renewed >= 8

    def test_of_very_many_quick_items_none_is_lost(self) -> None:
        report = Pipeline(range(50_000)).map(same, workers=2, max_items_per_worker=2500).to(list).run()
        assert sorted(report.result) == list(range(50_000))
        assert report.renewed >= 18

    def test_items_of_a_key_stay_in_order(self) -> None:
        stage = Pipeline(range(120)).map(
            keyed_pid, workers=3, key=lambda item: item % 3, max_items_per_worker=7
        )
        report = stage.to(list).run()
        for key in range(3):
            mine = [(item, pid) for one, item, pid in report.result if one == key]
            assert [item for item, _ in mine] == list(range(key, 120, 3))
            assert len({pid for _, pid in mine}) == 6  # 40 items, 7 for each
        assert report.renewed >= 15

    def test_an_item_that_fails_counts(self) -> None:
        stage = Pipeline(range(12)).map(fail_on_seven, workers=1, on_error="skip", max_items_per_worker=4)
        report = stage.to(list).run()
        assert sorted(report.result) == [*range(7), *range(8, 12)]
        assert [worker.items for worker in report.stages[1].workers] == [4, 4, 4]

    def test_an_item_of_many_results_is_one(self) -> None:
        stage = Pipeline([3000, 2000, 10]).flat_map(span, workers=1, ordered=True, max_items_per_worker=1)
        report = stage.to(list).run()
        assert report.result == [*span(3000), *span(2000), *span(10)]
        assert [worker.items for worker in report.stages[1].workers] == [1, 1, 1]

    def test_workers_that_die_beside_it_cost_what_they_did(self, tmp_path: Path) -> None:
        stage = Pipeline(range(100)).map(
            DiesFourTimes(str(tmp_path)),
            workers=2,
            retries=1,
            backoff=0,
            ordered=True,
            max_items_per_worker=9,
        )
        report = stage.to(list).run()
        assert report.result == list(range(100))
        assert report.deaths == 4
        assert report.renewed

    def test_from_a_queue_one_by_one(self) -> None:
        from threading import Thread

        from conveyor import Queue

        queue: Queue[int] = Queue()
        got: list[tuple[int, int, int, int]] = []
        stage = Pipeline(queue).map(who, workers=1, max_items_per_worker=2).to(got)
        run = Thread(target=stage.run)
        run.start()
        for item in range(6):
            queue.put(item)
            while len(got) <= item:  # so that each is alone
                time.sleep(0.001)
        queue.shutdown()
        run.join(30)
        assert [(item, attempt) for item, _, _, attempt in got] == [(n, n // 2 + 1) for n in range(6)]

    def test_a_state_file_knows_all_items(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        pipeline = Pipeline(range(50)).map(same, workers=2, max_items_per_worker=3).to(list)
        assert sorted(pipeline.run(resume=state).result) == list(range(50))
        assert pipeline.run(resume=state).resumed == 50

    def test_a_worker_that_is_killed_while_it_is_renewed(self) -> None:
        stage = Pipeline(range(10)).map(DiesInTeardown, workers=1, max_items_per_worker=3)
        with pytest.raises(Exception, match=r"was killed by SIGKILL .* in its teardown"):
            stage.to(list).run()

    def test_what_is_said_must_be_right(self) -> None:
        with pytest.raises(PipelineError, match="max_items_per_worker of 'same' is 0; it must be at least 1"):
            Pipeline([1]).map(same, max_items_per_worker=0)
        with pytest.raises(TypeError, match=r"max_items_per_worker of 'same' is 2\.5; it must be an integer"):
            Pipeline([1]).map(same, max_items_per_worker=2.5)  # type: ignore[arg-type]

    def test_it_is_described(self) -> None:
        text = str(Pipeline([1]).map(same, workers=2, max_items_per_worker=1000, max_worker_memory="500MB"))
        assert "workers renewed at 1,000 items or 500MB" in text


class DiesInTeardown:
    def __call__(self, item: int) -> int:
        return item

    def teardown(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


FREED_BEFORE = """
import os
from conveyor import Pipeline

kept = []
def hoard(item):
    kept.append(bytearray(b"x") * 20_000_000)
    return len(kept)

if __name__ == "__main__":
    for millions in (5, 20, 30):  # glibc keeps such blocks for later from now on
        bytearray(b"x") * (millions * 1_000_000)
    blocks = [bytearray(b"x") * 20_000_000 for _ in range(2)]
    del blocks
    stage = Pipeline(range(20)).map(hoard, workers=1, ordered=True, max_worker_memory="110MB")
    print(*stage.to(list).run(start_method="fork").result)
"""


class TestByMemory:
    @pytest.mark.parametrize("method", METHODS)
    def test_the_item_that_makes_it_too_large_is_its_last(self, method: Any) -> None:
        ballast = bytearray(b"x") * 150_000_000  # by fork, each worker begins with this
        stage = Pipeline(range(20)).map(hoard, workers=1, ordered=True, max_worker_memory="110MB")
        report = stage.to(list).run(start_method=method)
        del ballast
        assert len(report.result) == 20
        counts: dict[int, int] = {}
        for pid, count in report.result:
            counts[pid] = count
        assert max(counts.values()) <= 6
        assert min(list(counts.values())[:-1]) >= 4
        assert report.renewed >= 3

    def test_what_the_program_had_freed_counts_when_it_is_filled(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(FREED_BEFORE)
        done = subprocess.run(
            [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stderr == ""
        assert max(map(int, done.stdout.split())) <= 6

    def test_shared_memory_does_not_count(self) -> None:
        import numpy as np

        items = [np.zeros(10_000_000, np.uint8) for _ in range(20)]
        report = Pipeline(items).map(same, workers=1, max_worker_memory="100MB").to(list).run()
        assert report.renewed <= 2

    @pytest.mark.parametrize("where", [{"threads": 2}, {"concurrency": 2}])
    def test_threads_have_none_of_their_own(self, where: dict[str, Any]) -> None:
        function = who_async if "concurrency" in where else same
        with pytest.raises(PipelineError, match="whose memory is nobody's alone"):
            Pipeline([1]).map(function, max_worker_memory="1GB", **where)

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            (1000, 1000),
            ("1000", 1000),
            ("5B", 5),
            ("500MB", 500_000_000),
            ("500 MiB", 500 * 2**20),
            ("1.5g", 3 * 2**29),
            ("2GiB", 2**31),
        ],
    )
    def test_sizes_are_written_as_people_do(self, text: Any, count: int) -> None:
        assert bytes_of(text) == count

    def test_a_share_is_of_the_memory_there_is(self) -> None:
        assert (
            bytes_of("10%") * 9.9
            < bytes_of("100%")
            <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        )

    @pytest.mark.parametrize("bad", ["much", "-1MB", "0", 0, -5, "101%", "12XB", "", "1e9"])
    def test_what_is_no_size_is_named(self, bad: Any) -> None:
        with pytest.raises(
            PipelineError, match=f"max_worker_memory of 'same' is {bad!r}; it must be above 0"
        ):
            Pipeline([1]).map(same, max_worker_memory=bad)
        with pytest.raises(TypeError, match=r"max_worker_memory of 'same' is 1\.5"):
            Pipeline([1]).map(same, max_worker_memory=1.5)  # type: ignore[arg-type]
