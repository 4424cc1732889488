"""Sensors on one machine, RabbitMQ between, workers on others, results in Kafka: one API at two URLs.

    python examples/ingest.py                             # all of it here, on the servers' usual ports
    python examples/ingest.py simulate --readings amqp://user:password@broker/readings
    python examples/ingest.py work --readings amqp://... --results kafka://broker:9092/results --workers 4
    python examples/ingest.py watch --results kafka://...

`simulate` publishes, and says when it is done; `work` ends when all readings are dealt with, and `watch` when all
results are there. Workers may be killed at any moment: what they had leased comes back, and so a result may be there
twice; results are counted by what they are of. Some readings are broken, and are set aside after two attempts.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import multiprocessing
import random
import sys
import time
from typing import Any

from conveyor import Empty, ShutDown, connect

ALARM = 80.0  # degrees Celsius
BROKEN_EVERY = 97
ATTEMPTS = 2
BATCH = 50  # a sensor's gateway sends so many at a time


def reading(generator: random.Random, sensors: int, number: int) -> dict[str, Any]:
    """What a sensor sends; one of 97 has no temperature."""
    sensor = number % sensors
    heat = 60 + 15 * math.sin(number / 500 + sensor) + generator.gauss(0, 4)
    return {
        "sensor": f"t-{sensor:03}",
        "number": number,
        "celsius": None if number % BROKEN_EVERY == BROKEN_EVERY - 1 else round(heat, 2),
    }


def result(of: dict[str, Any]) -> dict[str, Any]:
    """What is made of it."""
    celsius = of["celsius"]
    if celsius is None:
        raise ValueError(f"{of['sensor']} sent no temperature")
    return {**of, "kelvin": round(celsius + 273.15, 2), "alarm": celsius > ALARM}


class Progress:
    """A line on the screen that is written over; lines, where there is no screen."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._next = 0.0
        self._end = "\r" if sys.stderr.isatty() else "\n"

    def show(self, count: int, more: str = "", last: bool = False) -> None:
        """At most five times a second."""
        now = time.monotonic()
        if last or now >= self._next:
            self._next = now + 0.2
            rate = count / max(now - self._began, 1e-6)
            text = f"{count:,} {self._what}, {rate:,.0f} a second{more}"
            print(text, end="\n" if last else self._end, file=sys.stderr, flush=True)


def readings_at(url: str) -> Any:
    """The queue of readings; whoever comes first makes it."""
    return connect(url, max_attempts=ATTEMPTS)


def simulate(readings: str, sensors: int, count: int, seed: int) -> None:
    """Publish readings, and say that there are no more."""
    generator = random.Random(seed)
    queue = readings_at(readings)
    progress = Progress("readings sent")
    with queue.producing():
        for start in range(0, count, BATCH):
            numbers = range(start, min(start + BATCH, count))
            queue.put_many([reading(generator, sensors, number) for number in numbers])
            progress.show(numbers.stop)
    progress.show(count, last=True)
    queue.close()


def work_alone(readings: str, results: str) -> None:
    """One worker: lease readings, put results, until there are no more readings."""
    source, sink = readings_at(readings), connect(results)
    with sink.producing(), contextlib.suppress(ShutDown):
        while True:
            with (leases := source.lease_many(BATCH)):
                made: list[Any] = []
                for lease in leases:
                    try:
                        made.append(result(lease.item))
                    except ValueError:
                        lease.release()  # another attempt, and then it is set aside
                sink.put_many(made)
            # The others are acknowledged here, once their results are there for good.
    source.close()
    sink.close()


def work(readings: str, results: str, workers: int) -> None:
    """So many workers in processes; returns when all readings are dealt with."""
    sink = connect(results)
    sink.expect_producers(workers)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work_alone, args=(readings, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    source = readings_at(readings)
    progress = Progress("readings wait")
    while any(process.is_alive() for process in processes):
        progress.show(source.qsize())
        processes[0].join(0.2) if processes[0].is_alive() else time.sleep(0.2)
    dead = source.statistics().dead
    print(f"{dead} readings set aside", file=sys.stderr)
    source.close()
    sink.close()
    if any(process.exitcode for process in processes):
        sys.exit("a worker failed")


def watch(results: str) -> None:
    """Count the results until their end."""
    sink = connect(results)
    seen: set[int] = set()
    alarms: set[int] = set()
    hottest = -273.15
    progress = Progress("results")
    with contextlib.suppress(ShutDown):
        while True:
            try:
                some: list[dict[str, Any]] = sink.get_many(1000, timeout=1)
            except Empty:
                some = []
            for one in some:
                seen.add(one["number"])
                hottest = max(hottest, one["celsius"])
                if one["alarm"]:
                    alarms.add(one["number"])
            progress.show(len(seen), f", {len(alarms)} alarms")
    progress.show(len(seen), f", {len(alarms)} alarms", last=True)
    print(f"{len(seen):,} results, {len(alarms)} alarms, the hottest {hottest:.1f} degrees")
    sink.close()


def everything(options: argparse.Namespace) -> None:
    """All three, each in a process."""
    context = multiprocessing.get_context("spawn")
    # Both queues exist before anybody waits for their end.
    connect(options.results).expect_producers(options.workers)
    readings_at(options.readings).expect_producers(1)
    arguments = (options.readings, options.sensors, options.count, options.seed)
    sending = context.Process(target=simulate, args=arguments)
    working = context.Process(target=work, args=(options.readings, options.results, options.workers))
    sending.start()
    working.start()
    watch(options.results)
    sending.join()
    working.join()
    if sending.exitcode or working.exitcode:
        sys.exit("a part of it failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("simulate", "work", "watch", "all")
    parser.add_argument("part", nargs="?", default="all", choices=parts)
    parser.add_argument("--readings", default="amqp://guest:guest@localhost/readings", metavar="URL")
    parser.add_argument("--results", default="kafka://localhost:9092/results", metavar="URL")
    parser.add_argument("--sensors", type=int, default=40)
    parser.add_argument("--count", type=int, default=20_000, help="readings")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.part == "simulate":
        simulate(options.readings, options.sensors, options.count, options.seed)
    elif options.part == "work":
        work(options.readings, options.results, options.workers)
    elif options.part == "watch":
        watch(options.results)
    else:
        everything(options)


if __name__ == "__main__":
    main()
