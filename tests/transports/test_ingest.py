"""examples/ingest.py: sensors on one machine, workers on another, each behind a cable of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor.transports.registry import ROWS
from servers.namespaces import Network
from servers.registry import shared

EXAMPLE = Path(__file__).parents[2] / "examples" / "ingest.py"
COUNT = 970
# Where the results land: in Kafka, once there is a transport for it.
SINK = "kafka" if "kafka" in ROWS else "redis"


@pytest.fixture
def urls() -> Iterator[tuple[str, str]]:
    made = tuple(shared(kind).url(f"ingest-{uuid.uuid4().hex}") for kind in ("rabbitmq", SINK))
    yield made[0], made[1]
    for url in made:
        with contextlib.suppress(FileNotFoundError):
            conveyor.remove(url)


class Here:
    """This machine, where no other can be made."""

    def popen(self, argv: list[str], **options: Any) -> subprocess.Popen[Any]:
        return subprocess.Popen(argv, **options)


def test_each_reading_becomes_a_result(urls: tuple[str, str]) -> None:
    readings, results = urls
    with contextlib.ExitStack() as stack:
        sensors: Any = Here()
        workers: Any = Here()
        if Network.refusal() is None:
            network = stack.enter_context(Network())
            sensors, workers = network.left, network.right
            for machine in (sensors, workers):
                machine.forward(shared("rabbitmq").port)
                machine.forward(shared(SINK).port)

        def start(machine: Any, *words: str) -> subprocess.Popen[str]:
            argv = [sys.executable, str(EXAMPLE), *words, "--readings", readings, "--results", results]
            process: subprocess.Popen[str] = machine.popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            stack.callback(process.kill)
            return process

        # Both queues are there, and know whom to wait for, before anybody could think that they are at their end.
        queue: Any = conveyor.connect(readings, max_attempts=2)
        queue.expect_producers(1)
        sink: Any = conveyor.connect(results)
        sink.expect_producers(2)
        watch = start(Here(), "watch")
        work = start(workers, "work", "--workers", "2")
        simulate = start(sensors, "simulate", "--count", str(COUNT))
        for part, said in (
            (simulate, f"{COUNT} readings sent"),
            (work, f"{COUNT // 97} readings set aside"),
            (watch, f"{COUNT - COUNT // 97} results"),
        ):
            try:
                printed, progress = part.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                part.kill()
                printed, progress = part.communicate()
            assert part.returncode == 0, progress
            assert said in printed + progress
            assert "a second" in progress
        assert queue.qsize() == 0
        queue.close()
        sink.close()
