"""Pipelines from queue to queue, on every transport: nothing is lost with whoever had it."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue as standard
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor import Pipeline, PipelineError, ShutDown

# How often a replica is killed with all its workers.
KILLS = int(os.environ.get("CONVEYOR_FAULTS", "3"))
REPLICA = Path(__file__).with_name("pipeline_replica.py")


def double(number: int) -> int:
    return 2 * number


def refuse_seven(number: int) -> int:
    if number == 7:
        raise ValueError("seven is refused")
    return number


def all_of(queue: Any, seconds: float = 60.0) -> list[Any]:
    """What comes until the queue has ended."""
    found: list[Any] = []
    with contextlib.suppress(ShutDown):
        while True:
            found += queue.get_many(1000, timeout=seconds)
    return found


def rest_of(queue: Any, count: int, seconds: float = 60.0) -> list[Any]:
    """So many items of a queue that has not ended."""
    found: list[Any] = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        with contextlib.suppress(standard.Empty):
            found += queue.get_many(count - len(found), timeout=1.0)
    return found


class TestAcknowledged:
    def test_what_is_at_its_end(self, make: Any, other_url: str) -> None:
        source, target = make(), conveyor.connect(other_url)
        with contextlib.closing(target):
            source.put_many(range(300))
            source.shutdown()
            report = Pipeline(source).map(double, workers=2).to(target, shutdown=True).run()
            assert (report.taken, report.results, report.failures) == (300, 300, 0)
            assert sorted(all_of(target)) == [2 * number for number in range(300)]

    def test_downstream_is_told_and_nothing_is_left_under_lease(self, make: Any, other_url: str) -> None:
        source, target = make(), conveyor.connect(other_url)
        with contextlib.closing(target):
            source.put_many(range(50))
            source.shutdown()
            Pipeline(source).map(double, threads=2).batch(7).to(target).run()
            batches = all_of(target)
            assert sorted(number for batch in batches for number in batch) == [
                2 * number for number in range(50)
            ]
            assert not source.statistics().leased
            assert source.qsize() == 0

    def test_what_was_left_out_is_dealt_with(self, make: Any) -> None:
        source = make()
        source.put_many(range(20))
        source.shutdown()
        kept: list[int] = []
        stages = (
            Pipeline(source).filter(lambda number: number % 2, threads=1).map(refuse_seven, on_error="skip")
        )
        report = stages.to(kept).run()
        assert sorted(kept) == [1, 3, 5, 9, 11, 13, 15, 17, 19]
        assert report.failures == 1
        with pytest.raises(ShutDown):
            source.get(timeout=10)

    def test_on_take(self, make: Any) -> None:
        """At most once: what was taken is gone, whatever becomes of it."""
        source = make()
        source.put_many(range(10))
        source.shutdown()
        with pytest.raises(ValueError, match="seven"):
            Pipeline(source, acknowledge="on_take").map(refuse_seven, threads=1).run()
        assert 7 not in all_of(source)


class TestGivenBack:
    def test_on_stop_what_has_no_result_at_its_end(self, make: Any) -> None:
        source = make()
        source.put_many(range(40))
        done: list[int] = []
        with pytest.raises(ValueError, match="seven"):
            Pipeline(source).map(refuse_seven, threads=1, ordered=True).to(done).run()
        back = rest_of(source, 40 - len(done))
        assert 7 in back
        assert sorted(done + back) == list(range(40))

    def test_when_the_iteration_is_left(self, make: Any) -> None:
        source = make()
        source.put_many(range(40))
        results = Pipeline(source).map(double, threads=2, ordered=True).stream()
        seen = [next(results), next(results)]
        results.close()
        assert seen == [0, 2]
        back: set[int] = set()
        while back | {number // 2 for number in seen} != set(range(40)):
            back |= set(source.get_many(40, timeout=30))

    def test_rejected_with_the_error(self, make: Any, other_url: str) -> None:
        letters = conveyor.connect(other_url)
        with contextlib.closing(letters):
            source = make(dead_letters=letters)
            source.put_many(range(10))
            source.shutdown()
            kept: list[int] = []
            stages = Pipeline(source).map(
                refuse_seven, threads=1, retries=1, backoff=0, on_error="dead_letter"
            )
            report = stages.to(kept).run()
            assert sorted(kept) == [number for number in range(10) if number != 7]
            assert (report.dead, report.dead_letters) == (1, ())
            letter = letters.get(timeout=30)
            assert letter.item == 7
            assert "seven is refused" in letter.error

    def test_the_runs_own_dead_letters_go_before(self, make: Any) -> None:
        source = make()
        source.put_many(range(10))
        source.shutdown()
        letters: list[Any] = []
        Pipeline(source).map(refuse_seven, threads=1, on_error="dead_letter").to(list).run(
            dead_letters=letters
        )
        assert [letter.item for letter in letters] == [7]
        with pytest.raises(ShutDown):
            source.get(timeout=10)


class TestTarget:
    @pytest.mark.needs("exact_bounds")
    def test_without_room_when_the_run_fails(self, make: Any, make_other: Any) -> None:
        """What had not arrived is not acknowledged: it comes back."""
        source, target = make(), make_other(maxsize=5)
        source.put_many(range(40))
        with pytest.raises(ValueError, match="seven"):
            Pipeline(source).map(refuse_seven, threads=1, ordered=True).to(target).run()
        arrived: list[int] = []
        with contextlib.suppress(standard.Empty):
            while True:
                arrived.append(target.get(timeout=0.5))
        assert len(arrived) <= 5
        back: set[int] = set()
        while back | set(arrived) != set(range(40)):
            back |= set(source.get_many(40, timeout=30))
        assert set(range(7, 40)) <= back

    @pytest.mark.needs("exact_bounds")
    def test_that_is_slow_holds_up_the_run(self, make: Any, make_other: Any) -> None:
        source, target = make(), make_other(maxsize=5)
        source.put_many(range(100))
        source.shutdown()
        found: list[int] = []
        reader = threading.Thread(target=lambda: found.extend(all_of(target)))
        reader.start()
        report = Pipeline(source).map(double, threads=1).to(target, shutdown=True).run()
        reader.join(60)
        assert report.results == 100
        assert sorted(found) == [2 * number for number in range(100)]

    def test_beside_the_way_gets_values_as_they_were(self, make: Any) -> None:
        target = make()

        def spoil(values: list[int]) -> None:
            values.append(-1)

        Pipeline([[number] for number in range(200)]).tee(target).map(spoil, threads=1).run()
        target.shutdown()
        assert sorted(all_of(target)) == [[number] for number in range(200)]

    def test_that_was_shut_down_ends_the_run(self, make: Any, make_other: Any) -> None:
        source, target = make(), make_other()
        source.put_many(range(10))
        target.shutdown()
        with pytest.raises(ShutDown):
            Pipeline(source).map(double, threads=1).to(target).run()
        assert sorted(rest_of(source, 10)) == list(range(10))

    def test_an_item_that_the_codec_cannot_take(self, make: Any, make_other: Any) -> None:
        source, target = make(), make_other()
        source.put_many(range(3))
        with pytest.raises((TypeError, ValueError, AttributeError, pickle.PicklingError)):
            Pipeline(source).map(lambda _: threading.Lock(), threads=1).to(target).run()
        assert sorted(rest_of(source, 3)) == [0, 1, 2]

    @pytest.mark.needs("topics")
    def test_topic(self, make_topic: Any) -> None:
        topic = make_topic()
        events = topic.subscribe()
        Pipeline(range(500)).map(double, threads=1).to(topic).run()
        topic.shutdown()
        assert sorted(events) == [2 * number for number in range(500)]


def begin(source: str, target: str) -> subprocess.Popen[str]:
    """Start a replica; it is at work when this returns."""
    words = [sys.executable, str(REPLICA), source, target, "2"]
    replica = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert replica.stdout is not None
    assert replica.stdout.readline() == "begins\n"
    return replica


def end(replica: subprocess.Popen[str]) -> None:
    """Kill a replica with all its workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(replica.pid, signal.SIGKILL)
    replica.wait(30)
    assert replica.stdout is not None
    replica.stdout.close()


@pytest.mark.needs("processes")
def test_replicas_that_are_killed_whole_lose_nothing(make: Any, url: str, other_url: str) -> None:
    """Two replicas; one is killed with its workers, again and again, and another takes its place."""
    count = 500 * KILLS
    source, target = make(), conveyor.connect(other_url)
    with contextlib.closing(target):
        source.put_many(range(count))
        stays, goes = begin(url, other_url), begin(url, other_url)
        found: list[tuple[int, int]] = []
        try:
            for kill in range(1, KILLS + 1):
                found += rest_of(target, 150 * kill - len(found))
                end(goes)
                goes = begin(url, other_url)
            source.shutdown()
            while {number for number, _ in found} != set(range(count)):
                with contextlib.suppress(standard.Empty, ShutDown):
                    found += target.get_many(1000, timeout=60)
            assert (stays.wait(60), goes.wait(60)) == (0, 0)
            with contextlib.suppress(standard.Empty):
                found += all_of(target)  # and downstream was told
            with pytest.raises(ShutDown):
                target.get(timeout=10)
        finally:
            end(stays)
            end(goes)
        twice = sum(times - 1 for times in Counter(number for number, _ in found).values())
        print(f"{KILLS} replicas killed: {count} items, 0 lost, {twice} twice")


class TestWrong:
    def test_a_word_that_is_none(self) -> None:
        with pytest.raises(PipelineError, match="it must be 'on_result', 'on_take' or None"):
            Pipeline([1], acknowledge="never")  # type: ignore[arg-type]

    def test_a_source_without_leases(self) -> None:
        with pytest.raises(PipelineError, match="a list has no lease_many"):
            Pipeline([1], acknowledge="on_result")

    def test_an_end_that_cannot_be_shut_down(self) -> None:
        with pytest.raises(PipelineError, match="which cannot be shut down"):
            Pipeline([1]).to([], shutdown=True)
