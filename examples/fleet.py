"""One pipeline, started several times, from queue to queue: replicas come, one is killed, nothing is lost.

    python examples/fleet.py                                        # three replicas over a file, one of them killed
    python examples/fleet.py --url redis://broker/0/fleet           # the same over a broker
    python examples/fleet.py replica --url redis://broker/0/fleet   # one more, from any machine, at any time

Each replica leases numbers from the queue, finds their largest prime factor in worker processes, and puts it into a
second queue; a number is acknowledged when its result is there. So whatever a killed replica had goes to the others.
When the numbers have ended, every replica ends by itself, and the results end as well.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from conveyor import Empty, Pipeline, ShutDown, connect

FIRST = 10**9


def largest_factor(number: int) -> tuple[int, int, str]:
    """The number, its largest prime factor, and which replica found it."""
    rest, factor, found = number, 2, 1
    while factor * factor <= rest:
        while rest % factor == 0:
            rest, found = rest // factor, factor
        factor += 1
    return number, max(found, rest), os.environ.get("FLEET_NAME", "somebody")


def places(url: str) -> tuple[str, str]:
    """Where the numbers are, and where the results go."""
    where, mark, options = url.partition("?")
    if where.startswith("sqlite:"):
        return f"{where}?queue=numbers", f"{where}?queue=results"
    return url, f"{where}-results{mark}{options}"


def replica(url: str, workers: int) -> None:
    """The pipeline; the same program on every machine."""
    source, target = places(url)
    stages = Pipeline(connect(source), name="fleet").map(largest_factor, workers=workers).to(connect(target))
    print("ready", flush=True)
    report = stages.run()
    print(json.dumps({"taken": report.taken, "seconds": round(report.seconds, 2)}), flush=True)


def start(url: str, workers: int, number: int, within: str) -> subprocess.Popen[str]:
    """Start a replica in a process group of its own, so that it can be killed with its workers."""
    words = [sys.executable, __file__, "replica", "--url", url, "--workers", str(workers)]
    return subprocess.Popen(
        [*shlex.split(within), *words],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "FLEET_NAME": f"replica {number}"},
    )


def fleet(url: str, count: int, replicas: int, workers: int, within: list[str], seed: int | None) -> int:
    """Start the replicas, kill one, and say who did what; returns the exit code."""
    chance = random.Random(seed)
    source, target = (connect(place) for place in places(url))
    running = [
        start(url, workers, number, within[number % len(within)] if within else "")
        for number in range(replicas)
    ]
    for process in running:  # or the first of them would have done it all before the last is there
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("a replica did not start; what it said is above")
    began = time.monotonic()
    half = count // 2
    source.put_many(
        range(FIRST, FIRST + half)
    )  # the rest comes when one was killed: it cannot be too late for that
    victim = chance.randrange(replicas)
    found: list[tuple[int, int, str]] = []
    killed_at = 0
    while len({number for number, _, _ in found}) < count:
        try:
            found += target.get_many(1000, timeout=60)
        except (Empty, ShutDown):
            break
        by_victim = sum(name == f"replica {victim}" for _, _, name in found)
        if not killed_at and (by_victim or len(found) >= half):
            os.killpg(running[victim].pid, signal.SIGKILL)
            killed_at = len(found)
            source.put_many(range(FIRST + half, FIRST + count))
            source.shutdown()
    seconds = time.monotonic() - began
    for process in running:
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
    by_whom = Counter(name for _, _, name in found)
    for number in range(replicas):
        end = (
            f", killed with its workers after {killed_at:,} results" if number == victim and killed_at else ""
        )
        print(f"replica {number}: {by_whom[f'replica {number}']:,} results{end}")
    distinct = {number: factor for number, factor, _ in found}
    lost = count - len(distinct)
    wrong = sum(
        largest_factor(number)[1] != factor
        for number, factor in list(distinct.items())[:: max(count // 50, 1)]
    )
    print(
        f"{count:,} numbers in {seconds:.1f} s: {lost} lost, {len(found) - len(distinct)} done twice, {wrong} wrong"
    )
    source.close()
    target.close()
    return 1 if lost or wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("fleet", "replica"), default="fleet")
    parser.add_argument(
        "--url", help="where the numbers are; a file in a temporary folder, if it is not said"
    )
    parser.add_argument("--count", type=int, default=3000, help="how many numbers")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="worker processes of each replica")
    parser.add_argument(
        "--within", action="append", default=[], metavar="COMMAND", help="as in 'ip netns exec left'"
    )
    parser.add_argument("--seed", type=int, help="of the choice of who is killed")
    given: Any = parser.parse_args()
    if given.what == "replica":
        if given.url is None:
            parser.error("a replica needs the --url of the numbers")
        replica(given.url, given.workers)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{Path(folder, 'fleet.db')}"
        return fleet(url, given.count, given.replicas, given.workers, given.within, given.seed)


if __name__ == "__main__":
    sys.exit(main())
