"""Many threads at one object, on every version of Python; and what becomes of the GIL on a free-threaded build.

The extension does not declare that it can do without the GIL (docs/adr/0034-the-gil-stays.md), so on such a build these
run with the GIL that its import has switched on.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from conveyor import LeaseLost, Lock, Queue, RLock, SharedDict, SharedList, SharedValue, ShutDown, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conveyor import Lease

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
GUARD = 60.0
THREADS = 6


def together(*works: Callable[[], None]) -> None:
    """Runs each in a thread of its own, all from the same moment on, and raises the first of their errors."""
    start = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        start.wait(GUARD)
        try:
            work()
        except BaseException as error:  # for the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert not [thread for thread in threads if thread.is_alive()], "somebody hangs"
    if errors:
        raise errors[0]


def item(number: int) -> list[Any]:
    """What takes each way of the encoder: leaves, keys, something met twice, something for pickle."""
    twice = [number, str(number)]
    return [
        number,
        {"number": number, "twice": twice, "set": {number}},
        twice,
        (number / 2, b"x" * 40),
        range(number),
    ]


@pytest.fixture(autouse=True)
def short_turns() -> Iterator[None]:
    """With the GIL threads take turns, of 5 ms otherwise: hardly any would meet another in the middle of something."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class TestTheGil:
    def test_is_on_after_the_import_and_a_free_threaded_build_says_so(self) -> None:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, conveyor; print(getattr(sys, '_is_gil_enabled', lambda: True)())",
            ],
            capture_output=True,
            text=True,
            timeout=GUARD,
            check=True,
            env={**os.environ, "PYTHON_GIL": ""},
        )
        assert done.stdout == "True\n"
        assert ("conveyor._native" in done.stderr) == FREE_THREADED
        assert ("has not declared that it can run safely without the GIL" in done.stderr) == FREE_THREADED

    def test_without_it_the_import_is_refused(self) -> None:
        # Other builds know no such setting, and cannot be without it.
        told = (
            "import conveyor" if FREE_THREADED else "import sys; sys._is_gil_enabled = bool; import conveyor"
        )
        environment = {**os.environ, "PYTHON_GIL": "0" if FREE_THREADED else ""}
        done = subprocess.run(
            [sys.executable, "-c", told],
            capture_output=True,
            text=True,
            timeout=GUARD,
            check=False,
            env=environment,
        )
        assert done.returncode == 1
        assert (
            "ImportError: conveyor needs the GIL, which PYTHON_GIL=0 or -X gil=0 keeps switched off"
            in done.stderr
        )


class TestOneObject:
    def test_a_queue(self) -> None:
        queue: Queue[Any] = Queue(maxsize=8)
        count = 150
        got: list[int] = []

        def put(first: int) -> Callable[[], None]:
            def work() -> None:
                for number in range(first, first + count):
                    queue.put(item(number), timeout=GUARD)

            return work

        def get() -> None:
            for _ in range(count):
                received = queue.get(timeout=GUARD)
                number = received[0]
                assert received == item(number)
                assert received[1]["twice"] is received[2]
                got.append(number)

        together(*(put(each * count) for each in range(THREADS)), *[get] * THREADS)
        assert sorted(got) == list(range(THREADS * count))
        assert queue.empty()

    def test_a_container_that_others_change_while_it_is_put(self) -> None:
        queue: Queue[Any] = Queue()
        numbers: list[int] = list(range(50))
        names: dict[str, int] = {}
        chosen: set[int] = set()
        over = threading.Event()

        def change() -> None:
            for turn in range(3000):
                numbers.append(turn)
                names[str(turn % 100)] = turn
                chosen.add(turn % 70)
                numbers.pop(0)
                names.pop(str((turn + 50) % 100), None)
                chosen.discard((turn + 35) % 70)
            over.set()

        def put() -> None:
            while not over.is_set():
                queue.put([numbers, names, chosen])
                seen = queue.get(timeout=GUARD)
                assert [type(each) for each in seen] == [list, dict, set]
                assert all(type(each) is int for each in [*seen[0], *seen[1].values(), *seen[2]])

        together(change, put, put)

    def test_the_leases_of_a_queue(self) -> None:
        queue: Queue[int] = Queue()
        count = 400
        for number in range(count):
            queue.put(number)
        queue.shutdown()
        done: list[int] = []
        failed: set[int] = set()

        def work() -> None:
            while True:
                try:
                    lease = queue.lease(timeout=GUARD)
                except ShutDown:
                    return
                number = lease.item
                if number % 5 == 0 and number not in failed:
                    failed.add(number)
                    lease.release()
                else:
                    done.append(number)
                    lease.acknowledge()

        together(*[work] * THREADS)
        assert sorted(done) == list(range(count))

    def test_one_lease_is_settled_once(self) -> None:
        queue: Queue[int] = Queue()
        for number in range(100):
            queue.put(number)
            lease = queue.lease(timeout=GUARD)

            def acknowledge(lease: Lease[int] = lease) -> None:
                with contextlib.suppress(LeaseLost):  # another was in the middle of it
                    lease.acknowledge()

            together(*[acknowledge] * 3)
        assert queue.statistics().leased == 0
        assert queue.empty()

    def test_a_topic_and_one_subscription(self) -> None:
        topic: Topic[Any] = Topic()
        subscription = topic.subscribe()
        alone = topic.subscribe()
        count = 100
        got: list[int] = []

        def publish() -> None:
            for number in range(count):
                topic.publish(item(number))

        def read() -> None:
            got.extend(event[0] for event in subscription)

        def publish_all() -> None:
            together(*[publish] * THREADS)
            topic.shutdown()

        together(publish_all, *[read] * 3)
        assert Counter(got) == dict.fromkeys(range(count), THREADS)
        assert Counter(event[0] for event in alone) == dict.fromkeys(range(count), THREADS)

    def test_a_dict_a_list_and_numbers(self) -> None:
        words: SharedDict[str, Any] = SharedDict()
        log: SharedList[int] = SharedList()
        value, lock, again = SharedValue(), Lock(), RLock()
        plain = 0

        def work() -> None:
            nonlocal plain
            for turn in range(100):
                with words.update("count") as held:
                    held.value = held.get(0) + 1
                words[str(turn)] = item(turn)
                assert words[str(turn)] == item(turn)
                log.append(turn)
                with lock:
                    plain += 1
                with again, again:
                    value.value += 1

        together(*[work] * THREADS)
        assert words["count"] == value.value == plain == len(log) == THREADS * 100
        assert Counter(log) == dict.fromkeys(range(100), THREADS)

    @pytest.mark.parametrize("large", [False, True])
    def test_a_queue_that_is_closed_while_others_use_it(self, large: bool) -> None:
        for _ in range(20):
            queue: Queue[bytes] = Queue(maxsize=2)
            payload = bytes(200_000 if large else 20)

            def use(queue: Queue[bytes] = queue, payload: bytes = payload) -> None:
                try:
                    while True:
                        queue.put(payload, timeout=GUARD)
                        assert queue.get(timeout=GUARD) == payload
                except (ValueError, OSError):  # closed
                    pass

            together(use, use, queue.close)
