"""A program in which something else is told of the ends of workers: `unseen_ends.py HOW METHOD`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

from conveyor import Pipeline
from conveyor.pipeline import PipelineRun, WorkerStuck


def same(item: int) -> int:
    return item


def killed_on_seven(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def exits_on_seven(item: int) -> int:
    if item == 7:
        os._exit(3)
    return item


def sleeps_on_seven(item: int) -> int:
    if item == 7:
        time.sleep(3600)
    return item


def reap(*_: Any) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def steal() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)


def source() -> Any:
    yield from range(30)


def main(how: str, method: Any) -> None:
    if how == "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    elif how == "handler":
        signal.signal(signal.SIGCHLD, reap)
    else:
        threading.Thread(target=steal, daemon=True).start()
    for items in (range(30), source):
        for function in (killed_on_seven, exits_on_seven):
            run = PipelineRun(
                Pipeline(items).map(function, workers=2, on_error="skip").map(same, workers=1).to(set),
                start_method=method,
            )
            stuck = [event for event in run.events() if isinstance(event, WorkerStuck)]
            report = run.report()
            assert report.result == set(range(30)) - {7}, report
            assert not stuck, "a worker that had left was waited for"
            assert report.stages[1].deaths == 1, report
            print(report.first_failures[0].message.split(" ", 4)[4])
    limited = Pipeline(range(30)).map(sleeps_on_seven, workers=2, timeout=0.3, on_error="skip")
    assert limited.to(set).run(start_method=method).result == set(range(30)) - {7}


if __name__ == "__main__":
    main(*sys.argv[1:])
