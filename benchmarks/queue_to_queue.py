"""A pipeline from queue to queue beside the broker's bare client, and one on an executor beside dask's own map.

    .venv/bin/python benchmarks/queue_to_queue.py [--quick] [--json] [--only rabbitmq,kafka,dask]

Starts the real servers. In each round each rival has its turn. The pipeline has two worker processes and a function
that returns what it got; items are leased, and acknowledged when they are in the second queue; its whole run counts,
from the start of the first worker to the end of the last. The bare client takes by the hundred, acknowledges, and puts
by the thousand, confirmed, in one process. Items are 100 bytes. Each bar is printed with what was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import statistics
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from brokers.side import BODY
from rounds import Run

import conveyor
from servers.registry import shared

ROUNDS = 5
# A few seconds of each, for a run has its start and its end.
COUNTS = {"rabbitmq": 30_000, "kafka": 100_000}
BARS = {"rabbitmq": 0.8, "kafka": 0.7, "dask": 0.9}
# Which of the bare clients' ways is the best for each half: of brokers/<module>.py.
BARE = {"rabbitmq": ("rabbitmq", "Pika", "PikaSelect"), "kafka": ("kafka_groups", "Confluent", "Confluent")}


def same(item: bytes) -> bytes:
    return item


def a_millisecond(number: int) -> int:
    end = perf_counter() + 0.001
    while perf_counter() < end:
        pass
    return number


def ours(server: Any, count: int) -> Callable[[], float]:
    """Items a second through a pipeline."""

    def measure() -> float:
        name = f"bench-{uuid.uuid4().hex}"
        urls = server.url(name), server.url(f"{name}-out")
        source: Any = conveyor.connect(urls[0])
        target: Any = conveyor.connect(urls[1])
        for queue in (
            source,
            target,
        ):  # as the bare client: it has its connections, and is a member of its group
            queue.put(BODY)
            queue.get()
        source.put_many([BODY] * count)
        source.shutdown()
        begun = perf_counter()
        report = conveyor.Pipeline(source).map(same, workers=2).to(target).run()
        seconds = perf_counter() - begun
        assert report.results == count
        source.close()
        target.close()
        for url in urls:
            with contextlib.suppress(FileNotFoundError):
                conveyor.remove(url)
        return count / seconds

    return measure


def bare(server: Any, module: str, takes: str, puts: str, count: int) -> Callable[[], float]:
    """Items a second taken, acknowledged and put by the broker's client."""

    def measure() -> float:
        sides = import_module(f"brokers.{module}")
        taking, putting = getattr(sides, takes)(server), getattr(sides, puts)(server)
        taking.open()
        putting.open()
        taking.fill(count)
        begun = perf_counter()
        taking.get_many(count)
        putting.put_many(count)
        seconds = perf_counter() - begun
        taking.close()
        putting.close()
        return count / seconds

    return measure


def judged(run: Run, name: str, title: str, works: dict[str, Callable[[], float]]) -> None:
    found = run.measure(title, "items/s", works)
    mine, its = found.values()
    ratios = [a / b for a, b in zip(mine, its, strict=True)]
    median, worst = statistics.median(ratios), min(ratios)
    run.judge(title, f">= {BARS[name]:g}x", f"{median:.2f}x (worst {worst:.2f}x)", median >= BARS[name])


def dask(run: Run) -> None:
    """Items of a millisecond on a local cluster: our stage on its executor, and its own map and gather."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        run.say(f"dask left out: {error}")
        return
    count = 2_000 if run.quick else 10_000
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells of every end of a connection
    with (
        LocalCluster(
            2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster) as client,
    ):

        def mine() -> float:
            begun = perf_counter()
            report = conveyor.Pipeline(range(count)).map(a_millisecond, executor=client).to(list).run()
            assert len(report.result) == count
            return count / (perf_counter() - begun)

        def its() -> float:
            begun = perf_counter()
            assert len(client.gather(client.map(a_millisecond, range(count), pure=False))) == count
            return count / (perf_counter() - begun)

        judged(
            run,
            "dask",
            f"dask: {count:,} items of 1 ms",
            {"conveyor, executor=client": mine, "map and gather": its},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer items and rounds: a first look")
    parser.add_argument("--json", action="store_true", help="print figures and bars as JSON")
    parser.add_argument("--only", default=",".join(BARS), help=f"some of {','.join(BARS)}")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := [name for name in wanted if name not in BARS]:
        parser.error(f"--only has {unknown[0]!r}; it must be some of {', '.join(BARS)}")
    run = Run(2 if options.quick else ROUNDS, options.quick, options.json)
    for name in wanted:
        if name == "dask":
            dask(run)
            continue
        count = COUNTS[name]
        server = shared(name)
        works = {
            "conveyor, a pipeline": ours(server, count),
            "the bare client": bare(server, *BARE[name], count),
        }
        judged(run, name, f"{name}: from queue to queue", works)
    if options.json:
        bars = [asdict(bar) for bar in run.bars]
        print(json.dumps({"figures": run.figures, "bars": bars, "load": os.getloadavg()[0]}, indent=2))


if __name__ == "__main__":
    main()
