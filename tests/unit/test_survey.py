"""What is seen from outside: segments of all kinds, who uses them, and who waits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import conveyor
from conveyor._memory.labels import place_outside
from conveyor.inspection import OpenFiles, QueueHistory, SegmentView, survey
from conveyor.queues._afterwards import held_elsewhere


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What the condition gives, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.005)
    return found


def seen(label: str) -> SegmentView | None:
    found = survey().find(label)
    return found[0] if found else None


@pytest.fixture
def label() -> str:
    return f"label-{uuid.uuid4().hex}"


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    conveyor.remove(f"shm://{name}")


class Child:
    """Another process that runs this, with a queue, and then waits until it is killed."""

    def __init__(self, code: str, *arguments: str) -> None:
        program = f"import conveyor, sys, time\n{code}\nprint('there', flush=True)\ntime.sleep(600)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "there\n"

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class TestSegments:
    def test_a_queue_without_a_name_is_seen_from_another_process(self, label: str) -> None:
        with Child("q = conveyor.Queue(8, label=sys.argv[1])\nq.put_many(range(5)); q.get()", label) as child:
            view = seen(label)
            assert view is not None
            assert (view.kind, view.url, view.label, view.title) == ("queue", None, label, label)
            assert view.place == "<string>:2"
            assert (view.users, view.maker) == ((child.pid,), child.pid)
            figures = view.figures
            assert (figures["items_in"], figures["items_out"], figures["depth"]) == (5, 1, 4)
            assert (figures["max_items"], figures["producers"], figures["consumers"]) == (8, 1, 1)
            assert figures["producer_pids"] == [child.pid]
            assert view.memory == figures["memory_held"] > 0
            assert abs(view.made - time.time()) < 60
            process = survey().processes[child.pid]
            assert process.parent == os.getpid()
            assert label in process.command
        assert seen(label) is None  # it went with its process

    def test_it_has_the_figures_that_the_queue_tells_of_itself(self, label: str) -> None:
        queue: Any = conveyor.JoinableQueue(max_attempts=2, label=label)
        queue.put_many([b"x" * 1000] * 20)
        leases = [queue.lease() for _ in range(4)]
        leases[0].acknowledge()
        leases[1].reject("no")
        leases[2].release()
        view = seen(label)
        assert view is not None
        told = queue.statistics()
        for name in (
            "items_in",
            "items_out",
            "bytes_in",
            "bytes_out",
            "depth",
            "peak_depth",
            "leased",
            "returned",
        ):
            assert view.figures[name] == getattr(told, name), name
        assert view.figures["dead"] == told.dead == 1
        assert view.figures["memory_held"] == told.memory_held

    def test_without_a_label_it_is_called_by_the_line_that_made_it(self) -> None:
        queue = conveyor.Queue()
        line = sys._getframe().f_lineno - 1
        [view] = survey().find(f"unit/test_survey.py:{line}")
        assert view.id == f"{queue._segment.identity[0]:x}:{queue._segment.identity[1]:x}"
        assert survey().find(f"test_survey.py:{line}") == [view]
        assert place_outside().endswith(f"test_survey.py:{sys._getframe().f_lineno}")

    @pytest.mark.parametrize(
        "make",
        [
            lambda label: conveyor.Topic(label=label),
            lambda label: conveyor.SharedDict({1: 2, 3: 4}, label=label),
            lambda label: conveyor.SharedList([1, 2, 3], label=label),
        ],
    )
    def test_what_is_no_queue_is_seen_too(self, make: Callable[[str], Any], label: str) -> None:
        shared = make(label)
        if isinstance(shared, conveyor.Topic):
            with shared.subscribe(when_slow="fail") as subscription:
                shared.publish_many(range(3))
                view = seen(label)
                assert view is not None
                assert view.kind == "topic"
                assert view.figures["published"] == 3
                [one] = view.figures["subscribers"]
                assert (one["pid"], one["lag"], one["when_slow"]) == (os.getpid(), 3, "fail")
                assert subscription.get() == 0
            return
        view = seen(label)
        assert view is not None
        assert (view.kind, view.figures["length"]) == (
            "dict" if hasattr(shared, "keys") else "list",
            len(shared),
        )

    def test_named_ones_are_seen_with_users_and_without(self, name: str) -> None:
        url = f"shm://{name}"
        with Child("q = conveyor.connect(sys.argv[1]); q.put(1)", url) as child:
            [view] = survey().find(url)
            assert (view.url, view.users) == (url, (child.pid,))
        [view] = survey().find(url)
        assert (view.users, view.figures["depth"]) == ((), 1)

    def test_one_that_was_removed_is_seen_as_long_as_it_is_used(self, name: str) -> None:
        queue = conveyor.connect(f"shm://{name}")
        queue._reader.fileno()  # which makes the readable descriptor beside it
        conveyor.remove(f"shm://{name}")
        id_ = "{:x}:{:x}".format(*queue._segment.identity)
        [view] = survey().find(id_)
        assert (view.url, view.users, view.error) == (None, (os.getpid(),), "")
        assert not [each for each in survey().segments if each.error and os.getpid() in each.users]
        queue.close()
        conveyor.connect(f"shm://{name}")  # for whoever removes it

    def test_looking_keeps_nothing(self, label: str) -> None:
        queue = conveyor.Queue(label=label)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            assert seen(label)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        del queue
        assert seen(label) is None

    def test_who_has_it_open_for_reading_is_no_user(self, label: str) -> None:
        queue = conveyor.Queue(label=label)
        code = "import os\nfd = os.open(sys.argv[1], os.O_RDONLY)"
        with Child(code, f"/proc/{os.getpid()}/fd/{queue._segment.memory_fd}"):
            view = seen(label)
            assert view is not None
            assert view.users == (os.getpid(),)
            assert not held_elsewhere(queue._segment.identity)

    @pytest.mark.parametrize("bad", [3, b"x", "a" * 64, "a\nb", "\x1b[2J"])
    def test_a_label_that_cannot_be_is_refused(self, bad: Any) -> None:
        for make in (conveyor.Queue, conveyor.Topic, conveyor.SharedDict, conveyor.SharedList):
            with pytest.raises((TypeError, ValueError), match=r"label is .*it must be"):
                make(label=bad)

    def test_what_was_written_there_cannot_move_a_terminals_cursor(self, label: str) -> None:
        queue = conveyor.Queue(label=label)
        queue._segment.set_label("\x1b[2Jx\n", "\x07" * 300)
        view = next(each for each in survey().segments if each.label == "?[2Jx?")
        assert set(view.place) == {"?"}

    @given(st.binary(max_size=20_000))
    def test_any_bytes_are_an_error_and_no_exception(self, data: bytes) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            view = SegmentView.look(file.fileno(), "1:2", None)
        assert view.error
        assert view.kind == ""

    def test_a_descriptor_that_became_another_file_is_noticed(self, label: str) -> None:
        files = OpenFiles()
        queue = conveyor.Queue(label=label)
        identity, number = queue._segment.identity, queue._segment.memory_fd
        assert identity in files.look()
        del queue
        other = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(other, number)  # as any other file may come to that number
            assert any(identity not in files.look() for _ in range(10))
        finally:
            os.close(number)
            if other != number:
                os.close(other)


class TestWaiters:
    def test_who_waits_for_an_item_or_for_room(self, label: str) -> None:
        empty, full = conveyor.Queue(label=label), conveyor.Queue(1, label=f"{label}-2")
        full.put(1)
        getter = threading.Thread(target=empty.get)
        putter = threading.Thread(target=full.put, args=(2,))
        for thread in (getter, putter):
            thread.start()
        [waiter] = until(lambda: seen(label).waiters)  # type: ignore[union-attr]
        assert (waiter.pid, waiter.thread, waiter.what) == (os.getpid(), getter.native_id, "item")
        assert 0 <= waiter.seconds < 60
        [waiter] = until(lambda: seen(f"{label}-2").waiters)  # type: ignore[union-attr]
        assert (waiter.thread, waiter.what) == (putter.native_id, "room")
        empty.put(1)
        assert full.get() == 1
        for thread in (getter, putter):
            thread.join()
        assert seen(label).waiters == seen(f"{label}-2").waiters == ()  # type: ignore[union-attr]

    def test_the_thread_of_coroutines_that_wait(self, label: str) -> None:
        queue = conveyor.Queue(label=label)

        async def main() -> None:
            tasks = [asyncio.ensure_future(queue.aget()) for _ in range(2)]
            end = time.monotonic() + 30
            while not (waiters := seen(label).waiters):  # type: ignore[union-attr]
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            [waiter] = waiters
            assert (waiter.thread, waiter.what) == (threading.get_native_id(), "item")
            queue.put_many([1, 2])
            assert sorted(await asyncio.gather(*tasks)) == [1, 2]

        asyncio.run(main())
        assert seen(label).waiters == ()  # type: ignore[union-attr]

    def test_one_that_was_killed_waits_no_longer(self, name: str) -> None:
        url = f"shm://{name}"
        code = (
            "import threading\nq = conveyor.connect(sys.argv[1])\n"
            "threading.Thread(target=q.get, daemon=True).start()"
        )
        with Child(code, url) as child:
            [waiter] = until(lambda: survey().find(url)[0].waiters)
            assert waiter.pid == child.pid
        assert survey().find(url)[0].waiters == ()

    @pytest.mark.parametrize(
        ("make", "wait", "end", "what"),
        [
            (conveyor.Lock, lambda lock: lock.acquire(), lambda lock: lock.release(), "state"),
            (conveyor.SharedDict, lambda d: d.wait_for(bool, 60), lambda d: d.update({1: 1}), "change"),
        ],
    )
    def test_what_else_is_waited_for(self, make: Any, wait: Any, end: Any, what: str) -> None:
        shared = make()
        if what == "state":
            shared.acquire()
        thread = threading.Thread(target=wait, args=(shared,))
        thread.start()

        def mine() -> list[Any]:
            views = survey().segments
            return [one for view in views for one in view.waiters if one.thread == thread.native_id]

        [waiter] = until(mine)
        assert waiter.what == what
        end(shared)
        thread.join()
        assert mine() == []

    def test_a_child_forked_by_a_signals_handler_leaves_the_note_of_its_parent(self, label: str) -> None:
        queue = conveyor.Queue(label=label)
        children: list[int] = []

        def handler(*_: object) -> None:
            if (pid := os.fork()) == 0:
                raise KeyError  # out of the wait
            children.append(pid)

        before = signal.signal(signal.SIGUSR1, handler)
        me = threading.get_native_id()

        def watch() -> None:
            until(lambda: seen(label).waiters)  # type: ignore[union-attr]
            os.kill(os.getpid(), signal.SIGUSR1)
            until(lambda: children)
            os.waitpid(children[0], 0)
            found.extend(seen(label).waiters)  # type: ignore[union-attr]
            queue.put(1)

        found: list[Any] = []
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            queue.get()
        except KeyError:
            os._exit(0)
        finally:
            signal.signal(signal.SIGUSR1, before)
        watcher.join()
        assert [waiter.thread for waiter in found] == [me]


class TestHistory:
    def test_rates_ages_and_waits_of_a_steady_queue(self) -> None:
        """Ten items a second are put, and each is taken two seconds later."""
        history = QueueHistory()
        rates = None
        for step in range(601):
            at = 1000 + step * 0.1
            rates = history.add(at, step, max(step - 20, 0))
        assert rates is not None
        assert rates.in_rate == pytest.approx(10, rel=0.05)
        assert rates.out_rate == pytest.approx(10, rel=0.05)
        assert rates.oldest_age == pytest.approx(2, abs=0.2)
        assert not rates.at_least
        assert rates.wait_p50 == pytest.approx(2, abs=0.2)
        assert rates.wait_p99 == pytest.approx(2, abs=0.2)

    def test_waits_that_are_shorter_than_the_time_between_two_looks(self) -> None:
        """Three hundred items a second, each taken a fifth of a second later; somebody looks once a second."""
        history = QueueHistory()
        for second in range(60):
            rates = history.add(second, 300 * second + 60, 300 * second)
        assert rates.wait_p50 == pytest.approx(0.2, abs=0.01)
        assert rates.wait_p99 == pytest.approx(0.2, abs=0.01)
        assert rates.oldest_age == pytest.approx(0.2, abs=0.01)

    def test_what_was_there_at_the_first_look_is_at_least_so_old(self) -> None:
        history = QueueHistory()
        history.add(10, 5, 0)
        rates = history.add(13, 6, 1)
        assert (rates.oldest_age, rates.at_least) == (3, True)
        rates = history.add(14, 6, 5)
        assert rates.oldest_age is not None
        assert 1 <= rates.oldest_age <= 4
        assert not rates.at_least
        assert history.add(15, 6, 6).oldest_age is None

    def test_a_week_of_looks_takes_no_more_memory_than_a_minute(self) -> None:
        history = QueueHistory(most=100)
        for step in range(20_000):
            rates = history.add(step * 0.2, step * 3, step * 3)
        assert rates.in_rate == pytest.approx(15, rel=0.1)
        assert len(history.series()) < 102
        assert len(history._waits) < 400

    def test_counters_that_go_back_are_another_queues(self) -> None:
        history = QueueHistory()
        history.add(1, 100, 100)
        assert history.add(2, 3, 1).in_rate == 0
        assert history.add(3, 13, 1).in_rate == 10

    @given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=60))
    def test_figures_are_never_below_nothing(self, steps: list[tuple[int, int]]) -> None:
        history, put, taken = QueueHistory(most=16), 0, 0
        for at, (more, fewer) in enumerate(steps):
            put += more
            taken = min(taken + fewer, put)
            rates = history.add(float(at), put, taken)
            assert rates.in_rate >= 0
            assert rates.out_rate >= 0
            assert rates.oldest_age is None or 0 <= rates.oldest_age <= at
            assert rates.wait_p50 is None or 0 <= rates.wait_p50 <= (rates.wait_p99 or 0) <= at
