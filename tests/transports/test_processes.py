"""Queues and topics between processes, under every start method, on every transport that has them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import programs
import pytest
from transport import Transport

import conveyor
from conveyor import ProducerLost, ShutDown

pytestmark = pytest.mark.needs("processes")


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> Any:
    return multiprocessing.get_context(request.param)


@pytest.fixture
def start(context: Any) -> Iterator[Any]:
    """Starts processes, and ends them behind."""
    started: list[Any] = []

    def begin(target: Any, *arguments: Any) -> Any:
        process = context.Process(target=target, args=arguments)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.join(60)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


class TestHandles:
    def test_go_to_other_processes_and_back(self, make: Any, start: Any) -> None:
        queue = make()
        queue.put("before")  # the handle is connected already
        start(programs.put, queue, ["a", ("b", 2)])
        assert [queue.get(timeout=60) for _ in range(3)] == ["before", "a", ("b", 2)]

    def test_a_stream_of_several_ends(self, make: Any, start: Any) -> None:
        queue = make()
        results: Any = conveyor.Queue()
        queue.expect_producers(3)
        for number in range(3):
            start(programs.produce, queue, 100 * number, 100 * number + 100)
        for worker in (programs.consume, programs.work):
            start(worker, queue, results)
        got = results.get(timeout=60) + results.get(timeout=60)
        assert sorted(got) == list(range(300))

    def test_a_fork_makes_its_own_connection(self, make: Any) -> None:
        queue = make()
        queue.put_many(range(40))
        assert queue.get(timeout=10) == 0
        context = multiprocessing.get_context("fork")
        results: Any = conveyor.Queue()
        # While other threads of the parent use the handle.
        stop = threading.Event()
        threads = [
            threading.Thread(target=lambda: [queue.qsize() for _ in iter(stop.is_set, True)]) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        children = [context.Process(target=programs.pass_on, args=(queue, results)) for _ in range(4)]
        for child in children:
            child.start()
        got = [results.get(timeout=60) for _ in children]
        stop.set()
        for waiting in (*threads, *children):
            waiting.join(60)
        left: list[int] = []
        while len(left) < 35:
            left += queue.get_many(40, timeout=10)
        assert sorted(got + left) == list(range(1, 40))
        for child in children:
            child.close()

    def test_a_lease_stays_with_its_process(self, make: Any) -> None:
        queue = make()
        queue.put("a")
        lease = queue.lease(timeout=10)
        pid = os.fork()
        if pid == 0:
            try:
                with lease:
                    pass  # does nothing here
                lease.acknowledge()
            except conveyor.LeaseLost:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        lease.release()
        assert queue.get(timeout=10) == "a"


class TestDeath:
    def test_what_a_killed_process_had_comes_back(self, make: Any, start: Any, transport: Transport) -> None:
        queue = make()
        told: Any = conveyor.Queue()
        queue.put("precious")
        process = start(programs.hold, queue, told)
        assert told.get(timeout=60) == "precious"
        assert queue.empty()
        os.kill(process.pid, signal.SIGKILL)
        began = time.monotonic()
        lease = queue.lease(timeout=60 + 10 * transport.soon)
        assert lease.item == "precious"
        assert time.monotonic() - began < 10 * transport.soon
        lease.acknowledge()

    def test_it_has_lost_nothing_that_it_had_put(self, make: Any, start: Any) -> None:
        queue = make()
        process = start(programs.put, queue, list(range(100_000)))
        last = queue.get(timeout=60)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert last == 0
        got = [last]
        while True:
            try:
                got += queue.get_many(1000, timeout=1)
            except conveyor.Empty:
                break
        assert got == list(range(len(got)))
        queue.put("goes on")
        assert queue.get(timeout=10) == "goes on"

    def test_a_lost_producer_is_told_of(self, make: Any, start: Any) -> None:
        queue = make()
        told: Any = conveyor.Queue()
        queue.expect_producers(1)
        process = start(programs.die_producing, queue, told)
        assert told.get(timeout=60) == "inside"
        got: list[Any] = []
        with pytest.raises(ProducerLost) as lost:
            for item in queue:
                got.append(item)
        assert got == ["last words"]
        assert lost.value.pid == process.pid
        assert lost.value.items == 1
        assert queue.is_shutdown
        with pytest.raises(ProducerLost):
            queue.get(timeout=10)


class TestTopics:
    def test_each_process_gets_each_event(self, make_topic: Any, start: Any) -> None:
        topic = make_topic()
        told, results = conveyor.Queue[Any](), conveyor.Queue[Any]()
        for _ in range(2):
            start(programs.subscribe, topic, told, results)
        assert [told.get(timeout=60) for _ in range(2)] == ["ready", "ready"]
        start(programs.publish, topic, list(range(100))).join(60)
        topic.publish("last")
        topic.shutdown()
        for _ in range(2):
            assert results.get(timeout=60) == [*range(100), "last"]
        with pytest.raises(ShutDown):
            topic.publish(1)
