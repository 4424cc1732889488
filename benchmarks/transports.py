"""Queues on brokers and in files beside each broker's own client: the same work, in one run, in turn.

    .venv/bin/python benchmarks/transports.py [--quick] [--json] [--only BROKER,...]

Starts the real servers (tests/servers: RabbitMQ, Redis, NATS, Kafka). In each round every rival has its turn, so that
noise hits all alike; the ratio is that of one round to the best rival of the same round: median, and the worst. Every
rival does what its manual says is best. What is not installed is left out. Items are 100 bytes. Each bar is printed
with what was measured, met or not; exit code 0 either way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from brokers.side import Conveyor, Side
from rounds import Run, shown

from conveyor.transports.registry import ROWS
from servers.registry import kafka_is_mocked, shared

ROUNDS = 5


@dataclass(frozen=True)
class Broker:
    """What is measured on a broker; the rivals are in brokers/<module>.py."""

    scheme: str
    server: str
    module: str
    put: int
    """Items of a turn, one by one."""
    many: int
    """Items of a turn, in batches."""
    kombu: tuple[str, ...] = ()
    many_over_one: float | None = None
    """How many times as fast as one by one put_many must be."""


BROKERS = {
    "rabbitmq": Broker("amqp", "rabbitmq", "rabbitmq", 500, 5_000, ("Kombu", "KombuQuorum"), 10),
    "redis": Broker("redis", "redis", "redis_streams", 3_000, 20_000, ("KombuRedis",)),
    "nats": Broker("nats", "nats", "nats_jetstream", 1_000, 5_000),
    "kafka": Broker("kafka", "kafka", "kafka_groups", 500, 5_000),
}


def opened(sides: list[Side], run: Run) -> list[Side]:
    """Those whose client is installed, connected."""
    found: list[Side] = []
    for side in sides:
        try:
            side.open()
        except ImportError as error:
            run.say(f"  {side.label} left out: {error}")
        else:
            found.append(side)
    return found


def timed(side: Side, work: str, count: int, filled: bool) -> Callable[[], float]:
    """Items a second."""

    def measure() -> float:
        if filled:
            side.fill(count)
        begun = perf_counter()
        getattr(side, work)(count)
        seconds = perf_counter() - begun
        if not filled:
            side.empty()
        return count / seconds

    return measure


def middle_trip(side: Any, count: int) -> Callable[[], float]:
    """The median of put and get of one item, in seconds."""

    def measure() -> float:
        side.trip(20)
        times: list[float] = side.trip(count)
        return statistics.median(times)

    return measure


def compare(
    run: Run, title: str, unit: str, sides: list[Side], ours: Side, works: dict[str, Callable[[], float]]
) -> tuple[float, float, dict[str, list[float]]]:
    """The median and the worst of conveyor / best rival, round by round; above 1 conveyor is better."""
    found = run.measure(title, unit, works)
    rivals = [found[name] for name in works if name != ours.label and found[name]]
    best = [(min if unit == "s" else max)(round_) for round_ in zip(*rivals, strict=True)]
    mine = found[ours.label]
    ratios = [b / a if unit == "s" else a / b for a, b in zip(mine, best, strict=True)]
    return statistics.median(ratios), min(ratios), found


def judge(run: Run, work: str, sign: str, bar: float, median: float, worst: float) -> None:
    met = median >= bar if sign == ">=" else median <= bar
    run.judge(work, f"{sign} {bar:g}x", f"{median:.2f}x (worst {worst:.2f}x)", met)


WORKS = (
    # name, method, whether in batches, whether the queue is filled before, bar
    ("put one by one", "put", False, False, 0.9),
    ("put_many(1000)", "put_many", True, False, 0.8),
    ("get one by one, acknowledged", "get", False, True, 0.8),
    ("get_many(100), acknowledged", "get_many", True, True, 0.8),
)


def broker(run: Run, name: str) -> None:
    """All works on one broker."""
    what = BROKERS[name]
    if what.scheme not in ROWS:
        run.say(f"\n{name}: left out, there is no transport {what.scheme}:// yet")
        return
    server = shared(what.server)
    module = import_module(f"brokers.{what.module}")
    ours = Conveyor(server)
    run.say(f"\n== {name}{' (mock)' if name == 'kafka' and kafka_is_mocked() else ''}")
    sides = opened([ours, *(side(server) for side in module.SIDES)], run)
    one_by_one: list[float] = []
    try:
        for side in (each for each in sides if hasattr(each, "put")):
            timed(side, "put", what.put, False)()  # a server that has just started is slow, and not counted
        for title, method, batches, filled, bar in WORKS:
            count = what.many if batches else what.put * (4 if filled and name == "rabbitmq" else 1)
            if run.quick:
                count = max(count // 4, 1000 if batches else 100)
            able = {s.label: timed(s, method, count, filled) for s in sides if hasattr(s, method)}
            median, worst, found = compare(run, f"{name}: {title}", "items/s", sides, ours, able)
            judge(run, f"{name}: {title}", ">=", bar, median, worst)
            if method == "put":
                one_by_one = found[ours.label]
            if method == "put_many" and what.many_over_one is not None:
                ratios = [a / b for a, b in zip(found[ours.label], one_by_one, strict=True)]
                judge(
                    run,
                    f"{name}: put_many(1000) over put",
                    ">=",
                    what.many_over_one,
                    statistics.median(ratios),
                    min(ratios),
                )
        count = 100 if run.quick else 500
        trips = {s.label: middle_trip(s, count) for s in sides if hasattr(s, "trip")}
        median, worst, _ = compare(run, f"{name}: put and get of one item, p50", "s", sides, ours, trips)
        judge(run, f"{name}: round trip p50", "<=", 1.3, 1 / median, 1 / worst)
        leases = timed(ours, "lease", what.put // (4 if run.quick else 1), True)
        run.measure(f"{name}: lease and acknowledge, one by one (no bar)", "items/s", {ours.label: leases})
    finally:
        for side in sides:
            side.close()
    for rival in what.kombu:
        beside_kombu(run, name, getattr(module, rival)(server), server, what)


def beside_kombu(run: Run, name: str, rival: Any, server: Any, what: Broker) -> None:
    """Put, get and acknowledge: conveyor in its batches, which kombu does not have, and confirmed."""
    sides = opened([Conveyor(server), rival], run)
    try:
        if len(sides) < 2:
            return
        ours: Any = sides[0]
        count = max(what.many // (4 if run.quick else 1), 1000)

        def mine() -> float:
            begun = perf_counter()
            ours.put_many(count)
            ours.get_many(count)
            return count / (perf_counter() - begun)

        def its() -> float:
            begun = perf_counter()
            rival.both(count)
            return count / (perf_counter() - begun)

        works = {ours.label: mine, rival.label: its}
        title = f"{name}: put + get + acknowledge beside {rival.label}"
        median, worst, _ = compare(run, title, "items/s", sides, ours, works)
        judge(run, title, ">=", 1.5, median, worst)
    finally:
        for side in sides:
            side.close()


def files(run: Run) -> None:
    """SQLite beside other queues in files."""
    module = import_module("brokers.files")
    run.say("\n== sqlite, sync=normal, 2 producers : 2 consumers, leased")
    count = 500 if run.quick else 2_000
    late: list[float] = []

    def turn(rival: str) -> Callable[[], float]:
        def measure() -> float:
            rate, puts = module.run(rival, count)
            if rival == "conveyor":
                late.append(statistics.quantiles(puts, n=1000)[-1])
            return float(rate)

        return measure

    found = run.measure("sqlite: items through", "items/s", {name: turn(name) for name in module.RIVALS})
    mine = found["conveyor"]
    for rivals, bar in ((("persist-queue",), 5.0), (("localqueue", "litequeue", "huey"), 2.0)):
        there = [found[name] for name in rivals if found[name]]
        if there:
            ratios = [a / max(round_) for a, round_ in zip(mine, zip(*there, strict=True), strict=True)]
            judge(run, f"sqlite over {', '.join(rivals)}", ">=", bar, statistics.median(ratios), min(ratios))
    p999 = statistics.median(late)
    run.judge(
        "sqlite: p99.9 of a put", "<= 5 ms", f"{shown(p999, 's').strip()} (worst {shown(max(late), 's').strip()})",
        p999 <= 0.005,
    )  # fmt: skip


def imports(run: Run) -> None:
    """`import conveyor` loads no client."""
    clients = ("pika", "redis", "nats", "confluent_kafka")
    code = f"import conveyor, sys; print(*[name for name in {clients} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    run.judge("clients that `import conveyor` loads", "none", ", ".join(loaded) or "none", not loaded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer items and rounds: a first look")
    parser.add_argument("--json", action="store_true", help="print figures and bars as JSON")
    known = [*BROKERS, "sqlite", "import"]
    parser.add_argument("--only", default=",".join(known), help=f"some of {','.join(known)}")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"--only has {unknown[0]!r}; it must be some of {', '.join(known)}")
    run = Run(2 if options.quick else ROUNDS, options.quick, options.json)
    for name in wanted:
        if name in BROKERS:
            broker(run, name)
        elif name == "sqlite":
            files(run)
        else:
            imports(run)
    load = os.getloadavg()[0]
    if options.json:
        bars = [asdict(bar) for bar in run.bars]
        print(json.dumps({"figures": run.figures, "bars": bars, "load": load}, indent=2))
    else:
        met = sum(bar.met for bar in run.bars)
        run.say(f"\n{met} of {len(run.bars)} bars met; {os.cpu_count()} cores, load {load:.2f}")


if __name__ == "__main__":
    main()
