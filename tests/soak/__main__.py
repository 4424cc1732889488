"""`make soak`: processes on queues, killed, stopped and forked at random; a ledger says what became of each item.

python tests/soak --minutes 30
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from typing import Any

from audit import Outcome
from episode import Episode, Setting

SHOWN = (
    "episodes",
    "kills",
    "terms",
    "stops",
    "items",
    "hung",
    "lost",
    "doubled",
    "damaged",
    "disordered",
    "failed",
)


def line(outcome: Outcome, seconds: float) -> str:
    return f"{seconds:6.0f} s  " + "  ".join(f"{name} {getattr(outcome, name):,}" for name in SHOWN)


def percentile(values: list[float], at: float) -> float | None:
    if len(values) < 2:
        return None
    return statistics.quantiles(values, n=1000, method="inclusive")[round(at * 10) - 1]


def figures(outcome: Outcome) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(outcome, name) for name in (*SHOWN, "in_hand", "seen_again")}
    for name in ("recoveries", "lease_recoveries"):
        values = getattr(outcome, name)
        told[name] = {"count": len(values), "p50": percentile(values, 50), "p99": percentile(values, 99)}
        told[name]["most"] = max(values, default=None)
    return told | {"troubles": outcome.troubles}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="how long (2)")
    parser.add_argument("--kills", type=int, default=0, help="go on until so many processes were killed, too")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the first episode; drawn and printed if not given"
    )
    parser.add_argument("--queue", choices=("conveyor", "multiprocessing", "faster-fifo"), default="conveyor")
    parser.add_argument("--recovery", action="store_true", help="only deaths: how soon do the others go on?")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, - for standard output")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"{options.queue}, from seed {seed}", file=sys.stderr, flush=True)
    total = Outcome()
    start = shown = time.monotonic()
    while (now := time.monotonic()) < start + options.minutes * 60 or total.kills < options.kills:
        setting = Setting.for_recovery(seed) if options.recovery else Setting.drawn(seed, options.queue)
        total.add(Episode(setting).run())
        seed += 1
        if now - shown > 10:
            shown = now
            print(line(total, now - start), file=sys.stderr, flush=True)
    told = figures(total) | {"seconds": round(time.monotonic() - start), "queue": options.queue}
    for trouble in total.troubles[:20]:
        print(trouble, file=sys.stderr)
    text = json.dumps(told, indent=2)
    if options.json and options.json != "-":
        with open(options.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text + "\n")
    if not options.json or options.json == "-":
        print(text)
    return 0 if total.sound else 1


if __name__ == "__main__":
    sys.exit(main())
