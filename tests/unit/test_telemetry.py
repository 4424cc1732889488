"""Traces: spans for put, get and stages, and contexts that travel with items."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import conveyor
from conveyor import Pipeline, telemetry
from conveyor.queues.queue import Queue

SPANS = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> TracerProvider:
    """OpenTelemetry allows one global provider in the life of a process."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def traced() -> Iterator[None]:
    SPANS.clear()
    telemetry.enable()
    try:
        yield
    finally:
        telemetry.disable()


def spans(name: str = "") -> list[Any]:
    return [span for span in SPANS.get_finished_spans() if span.name.startswith(name)]


def test_off_it_leaves_no_trace_of_itself() -> None:
    before = Queue.put, Queue.get, vars(Queue).get("put"), vars(Queue).get("lease_many")
    telemetry.enable()
    assert telemetry.is_enabled()
    with pytest.raises(RuntimeError, match="enabled already"):
        telemetry.enable()
    telemetry.disable()
    telemetry.disable()
    assert (Queue.put, Queue.get, vars(Queue).get("put"), vars(Queue).get("lease_many")) == before
    assert not telemetry.is_enabled()


def test_importing_conveyor_imports_none_of_it() -> None:
    code = (
        "import conveyor, sys; conveyor.Queue().put(1); "
        "print('conveyor.telemetry' in sys.modules, 'opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.usefixtures("traced")
class TestQueues:
    def test_a_get_has_a_link_to_the_put(self) -> None:
        queue = conveyor.Queue(label="frames")
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("work") as work:
            queue.put({"a": 1})
        assert queue.get() == {"a": 1}
        [put], [get] = spans("put frames"), spans("get frames")
        assert put.parent.span_id == work.get_span_context().span_id
        assert [link.context.span_id for link in get.links] == [put.context.span_id]
        assert put.kind is trace.SpanKind.PRODUCER
        assert get.kind is trace.SpanKind.CONSUMER
        assert put.attributes["messaging.destination.name"] == "frames"
        context = telemetry.item_context()
        with tracer.start_as_current_span("rest", context=context) as rest:
            assert rest.get_span_context().trace_id == work.get_span_context().trace_id

    def test_of_many_each_has_the_context(self) -> None:
        queue = conveyor.Queue()
        queue.put_many([1, 2])
        queue.put(items := [3])
        assert queue.get_many(10) == [1, 2, items]
        [get] = spans("get")
        assert [link.context.span_id for link in get.links] == [
            spans("put")[0].context.span_id,
            spans("put")[0].context.span_id,
            spans("put")[1].context.span_id,
        ]
        assert get.attributes["messaging.batch.message_count"] == 3
        assert get.attributes["messaging.destination.anonymous"] is True

    def test_leases_and_coroutines(self) -> None:
        queue: Any = conveyor.Queue()
        queue.put(obj=1)
        with queue.lease() as item:
            assert item == 1

        async def main() -> None:
            await queue.aput(2)
            assert await queue.aget() == 2

        asyncio.run(main())
        assert len(spans("put")) == len(spans("get")) == 2
        assert all(len(span.links) == 1 for span in spans("get"))

    def test_arrays_are_none_the_slower_for_it(self) -> None:
        queue = conveyor.Queue()
        array = numpy.arange(100_000)
        queue.put({"x": array})
        found = queue.get()["x"]
        assert (found == array).all()
        assert found.base is not None  # where it lies in the queue's memory

    def test_what_finds_nothing_is_no_span(self) -> None:
        queue = conveyor.Queue(1)
        with pytest.raises(conveyor.Empty):
            queue.get_nowait()
        assert spans("get") == []
        queue.put(1)
        with pytest.raises(conveyor.Full):
            queue.put_nowait(2)
        [_, failed] = spans("put")
        assert not failed.status.is_ok

    def test_wrong_calls_are_told_as_ever(self) -> None:
        queue: Any = conveyor.Queue()
        for call in (lambda: queue.put(), lambda: queue.put_many(3), lambda: queue.put(1, no=2)):
            with pytest.raises(TypeError):
                call()

    def test_a_codec_for_few_types_carries_no_context(self) -> None:
        queue = conveyor.Queue(codec="json")
        queue.put([1])
        assert queue.get() == [1]
        [get] = spans("get")
        assert list(get.links) == []
        assert telemetry.item_context() is None

    def test_another_process_that_knows_nothing_of_it_gets_the_item(self) -> None:
        name = "shm://test-telemetry"
        queue = conveyor.connect(name)
        try:
            queue.put(("a", 1))
            code = f"import conveyor, sys; print(conveyor.connect({name!r}).get(), 'opentelemetry' in sys.modules)"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            assert done.stdout == "('a', 1) False\n"
        finally:
            conveyor.remove(name)

    @pytest.mark.parametrize("codec", [None, "json", "msgpack"])
    def test_over_a_broker_it_goes_beside_the_item(self, codec: str | None, tmp_path: Path) -> None:
        queue = conveyor.connect(f"sqlite:///{tmp_path}/q.db", **({} if codec is None else {"codec": codec}))
        queue.put_many([1, "b"])
        queue.put({"c": [2.5]})
        assert [queue.get(timeout=30) for _ in range(3)] == [1, "b", {"c": [2.5]}]
        first, second = spans("put")
        assert [span.links[0].context.span_id for span in spans("get")] == [
            first.context.span_id,
            first.context.span_id,
            second.context.span_id,
        ]
        queue.put(4)
        telemetry.disable()
        assert queue.get(timeout=30) == 4
        telemetry.enable()
        queue.close()

    def test_what_a_pipeline_sends_its_workers_is_no_put_of_the_users(self) -> None:
        results: list[int] = []
        Pipeline(range(20)).map(abs, workers=2).to(results).run()
        assert sorted(results) == list(range(20))
        assert spans("put") == spans("get") == []


def double(value: int) -> int:
    return 2 * value


def twice(value: int) -> Iterator[int]:
    yield value
    yield value


async def triple(value: int) -> int:
    await asyncio.sleep(0)
    return 3 * value


class Adder:
    def setup(self) -> None:
        self.more = 1

    def __call__(self, value: int) -> int:
        return value + self.more


class TestStages:
    def test_each_call_is_a_span_in_the_trace_of_the_run(self, traced: None) -> None:
        with trace.get_tracer("test").start_as_current_span("run") as run:
            pipeline = (
                Pipeline(range(4))
                .map(double, threads=2)
                .flat_map(twice, threads=1)
                .map(triple, concurrency=2)
            ).map(Adder, threads=2)
            results: list[int] = []
            pipeline.to(results).run()
            assert sorted(results) == [1, 1, 7, 7, 13, 13, 19, 19]
        for name, count in (("double", 4), ("twice", 4), ("triple", 8), ("Adder", 8)):
            found = spans(f"stage {name}")
            assert len(found) == count, name
            assert {span.parent.span_id for span in found} == {run.get_span_context().span_id}

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_processes_tell_theirs(self, method: str, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        done = subprocess.run(
            [sys.executable, program, method, tmp_path / "spans"], capture_output=True, text=True, check=True
        )
        run = done.stdout.split()[-1]
        lines = (tmp_path / "spans").read_text().split()
        assert lines == [run] * 6


PROGRAM = """
import os, sys
import conveyor.telemetry
from conveyor import Pipeline
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

class ToFile(SpanExporter):
    def export(self, spans):
        with open(sys.argv[2] if len(sys.argv) > 2 else os.environ["SPANS"], "a") as file:
            for span in spans:
                if span.name.startswith("stage"):
                    file.write(f"{span.parent.span_id:x}\\n")
        return SpanExportResult.SUCCESS

def configure():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ToFile()))
    trace.set_tracer_provider(provider)

def work(value):
    return value

if __name__ == "__main__":
    os.environ["SPANS"] = sys.argv[2]
    if sys.argv[1] == "fork":
        configure()
        conveyor.telemetry.enable()
    else:
        conveyor.telemetry.enable(TracerProvider(), configure=configure)
        trace.set_tracer_provider(TracerProvider())
    with trace.get_tracer("program").start_as_current_span("run") as span:
        Pipeline(range(6)).map(work, workers=2).run(start_method=sys.argv[1])
        print(f"{span.get_span_context().span_id:x}")
"""
