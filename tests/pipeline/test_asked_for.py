"""What users of mpire, pypeln, joblib, loky and faster-fifo asked for again and again: one test for each wish."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tqdm
from stages import (
    Counting,
    always_fails,
    fail_on_seven,
    kill_on_seven,
    same,
    sleep_on_seven,
    slow_item,
    thrice,
)

from conveyor import Empty, ItemTooLarge, Pipeline, Queue

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
class TestUnderEachStartMethod:
    """mpire #104, #124: the same under spawn and forkserver."""

    def test_say_why_a_worker_died_and_on_which_item_and_go_on(self, method: Any) -> None:
        """mpire #130, #138, #110; joblib #812."""
        report = (
            Pipeline(range(20))
            .map(kill_on_seven, workers=2, on_error="skip")
            .to(set)
            .run(start_method=method)
        )
        assert report.result == set(range(20)) - {7}
        (failure,) = report.first_failures
        assert (failure.item, failure.kind) == (7, "WorkerLost")
        assert "SIGKILL" in failure.message

    def test_a_large_result_does_not_hang(self, method: Any) -> None:
        """cpython #87971, #85880; mpire #32."""
        stream = Pipeline([32 << 20] * 3).map(zeros, workers=2).stream(start_method=method)
        assert [len(result) for result in stream] == [32 << 20] * 3

    def test_a_time_limit_for_each_item_does_not_sink_the_rest(self, method: Any) -> None:
        """joblib #522, #367, #1221."""
        stage = Pipeline(range(200)).map(sleep_on_seven, workers=2, timeout=0.5, on_error="dead_letter")
        report = stage.run(start_method=method)
        assert (report.results, [letter.item for letter in report.dead_letters]) == (199, [7])

    def test_exceptions_surface_with_their_own_type_and_at_once(self, method: Any) -> None:
        """pypeln #119, #107; joblib #922."""
        with pytest.raises(KeyError, match="seven"):
            Pipeline(iter(range(10**9))).map(fail_on_seven, workers=2).run(start_method=method)

    def test_an_initialiser_for_each_worker(self, method: Any, tmp_path: Path) -> None:
        """loky #123."""
        report = Pipeline(range(30)).map(Counting(str(tmp_path)), workers=2).run(start_method=method)
        assert len(list(tmp_path.glob("setup-*"))) == len(report.stages[1].workers)

    def test_no_leaked_segments_or_semaphores(self, method: Any) -> None:
        """loky #369. (That no descriptor and no process is left, the fixture of all tests sees to.)"""
        before = set(os.listdir("/dev/shm"))  # noqa: PTH208
        with pytest.raises(ValueError, match="no 0"):
            Pipeline(range(30)).map(always_fails, workers=1).run(start_method=method)
        left = set(os.listdir("/dev/shm")) - before  # noqa: PTH208
        assert not [name for name in left if str(os.getpid()) in name]


def zeros(count: int) -> bytes:
    return bytes(count)


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_from_any_bar_also_with_one_worker(workers: int) -> None:
    """joblib #1063, #972; mpire PR 107."""
    with tqdm.tqdm(disable=False, file=Path(os.devnull).open("w")) as bar:
        Pipeline(range(50)).map(same, workers=workers).run(progress=bar)
        assert bar.n == 50
        bar.fp.close()


def test_back_pressure_holds_across_stages() -> None:
    """pypeln #111, #55; cpython #101586."""
    asked = 0

    def numbers() -> Iterator[int]:
        nonlocal asked
        while True:
            asked += 1
            yield asked

    stream = Pipeline(numbers).map(same, threads=1).map(same, workers=1).map(slow_item, workers=1).stream()
    for _ in range(10):
        next(stream)
    before = -1
    while before != asked:
        before = asked
        time.sleep(0.3)
    assert asked < 100_000 * 3 + 10_000
    stream.close()  # type: ignore[attr-defined]


def test_what_the_input_raises_surfaces_too() -> None:
    """pypeln #107."""

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Pipeline(broken).map(same, workers=1).run()


def test_batches_unbatching_and_stages_with_many_results() -> None:
    """pypeln #15, #116; mpire #146."""
    stages = (
        Pipeline(range(100), ordered=True).flat_map(thrice, workers=2).batch(7).map(list, workers=1).unbatch()
    )
    assert list(stages.stream()) == [number for number in range(100) for _ in range(3)]


def test_a_timeout_of_none_blocks_for_ever() -> None:
    """faster-fifo #42: `multiprocessing.Queue`'s semantics exactly."""
    queue: Queue[int] = Queue()
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(queue.get(timeout=None)))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    queue.put(1)
    thread.join(30)
    assert got == [1]
    with pytest.raises(Empty):
        queue.get(timeout=0)


def test_an_item_that_can_never_fit_is_an_error_at_once() -> None:
    """faster-fifo #21."""
    queue: Queue[bytes] = Queue(max_bytes=1 << 20)
    with pytest.raises(ItemTooLarge):
        queue.put(bytes(2 << 20))
