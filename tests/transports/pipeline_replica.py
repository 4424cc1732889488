"""A replica of a pipeline from a queue to another, as a program: `pipeline_replica.py FROM TO WORKERS`.

It leads a process group of its own, so that a test can kill it with all its workers.
"""

from __future__ import annotations

import os
import sys
import time

from conveyor import Pipeline, connect


def work(number: int) -> tuple[int, int]:
    """Say who did it; slowly enough that a kill finds something under way."""
    time.sleep(0.002)
    return number, os.getppid()


if __name__ == "__main__":
    os.setpgrp()
    source, target, workers = sys.argv[1:]
    pipeline = Pipeline(connect(source)).map(work, workers=int(workers)).to(connect(target))
    print("begins", flush=True)
    report = pipeline.run()
    print(report.results, flush=True)
