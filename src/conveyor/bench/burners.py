"""A busy machine: processes that compute all the time beside a measurement."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

from conveyor.bench.processes import FORK, MeasurementFailed

__all__ = ["burning"]

_TURNS = 20_000
"""Of the loop between two looks for the parent: less than a millisecond."""


def _burn(parent: int) -> None:
    """Compute until the parent is gone: killed, it could stop nobody, and this process is given another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this process
    while os.getppid() == parent:
        for _ in range(_TURNS):
            pass


@contextmanager
def burning(count: int) -> Generator[list[int]]:
    """So many processes compute until the block is left, or this process has ended in any way; their ids.

    Raises `MeasurementFailed` when the block is left and one of them has ended before.
    """
    processes = [FORK.Process(target=_burn, args=(os.getpid(),), daemon=True) for _ in range(count)]
    try:
        for process in processes:
            process.start()
        yield [process.pid or 0 for process in processes]
        if any(process.exitcode is not None for process in processes):
            raise MeasurementFailed("the machine was not kept busy to the end")
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
