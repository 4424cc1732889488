"""`make simulate`: runs of random pipelines in a simulated world, each of one seed.

    python tests/simulation/simulate.py --seeds 10000 --from 0

A seed that fails is printed, with what happened and how to make a test of it.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from campaign import Outcome, run_case
from random_case import Case, make_case


def explain(case: Case, error: BaseException) -> None:
    seed = case.seed
    for line in case.simulation.trace:
        print(line, file=sys.stderr)
    print(f"\n{case.pipeline}\n", file=sys.stderr)
    print(f"seed {seed}: {type(error).__name__}: {error}\n", file=sys.stderr)
    traceback.print_exception(error, file=sys.stderr)
    print(
        f"\nAgain, with all that happens: python tests/simulation/simulate.py --seeds 1 --from {seed} --trace\n"
        "To keep it, add to SEEDS in tests/simulation/test_seeds.py:\n\n"
        f"    {seed}: {str(error)!r:.80},\n",
        file=sys.stderr,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--renews", action="store_true", help="workers of some stages are renewed")
    parser.add_argument("--all", action="store_true", help="do not end with the first seed that fails")
    arguments = parser.parse_args()
    total = Outcome()
    failed = 0
    began = time.process_time()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            case = make_case(seed, arguments.trace, arguments.renews)
            total += run_case(case)
        except Exception as error:
            failed += 1
            if not arguments.all:
                explain(case, error)
                return 1
            print(f"seed {seed}: {type(error).__name__}: {error!s:.150}")
    seconds = time.process_time() - began
    print(f"{arguments.seeds:,} seeds in {seconds:.1f} s of a processor, {failed} failed")
    print(", ".join(f"{name} {count:,}" for name, count in sorted(total.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
