"""Pipelines for test_run_command.py, which runs them by `conveyor run`."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from conveyor import Pipeline

MAIN = os.getpid()


def shout(item: Any) -> Any:
    print(f"at {item}", flush=True)
    return item


def fails(item: int) -> int:
    if item == 3:
        raise ValueError("no three")
    return item


def dies(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def half_a_second(item: int) -> int:
    time.sleep(0.5)
    return item


numbers = Pipeline(range(10), name="numbers").map(shout, workers=1, ordered=True).to(list)
written = Pipeline(range(3), name="written").map(str, workers=1, ordered=True).to(sys.stdout)
printed = Pipeline(range(3), name="printed").map(str, workers=1, ordered=True).to(print)
stopped = Pipeline(range(10), name="stopped").map(fails, workers=1).to(list)
skipped = Pipeline(range(10), name="skipped").map(fails, workers=1, on_error="skip").to(list)
killed = Pipeline(range(10), name="killed").map(dies, workers=1, on_error="skip").to(list)
forever = Pipeline(endless, name="forever").map(half_a_second, workers=2).to(list)
number = 3


def broken() -> Any:
    raise RuntimeError("boom")


def drawn(number: int) -> str:
    """A number by chance, a record of a logger, and the process."""
    logging.getLogger("piped").warning("drew for %d", number)
    return f"{random.random()} {os.getpid() == MAIN}"


def chances() -> Pipeline[str]:
    """What is drawn for each of five numbers, in their order."""
    logging.basicConfig(format="here: %(message)s")
    return Pipeline(range(5), name="chances").map(drawn, workers=2, ordered=True).to(print)
