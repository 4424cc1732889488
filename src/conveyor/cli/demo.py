"""`conveyor demo`: the classic producer and consumer, in two processes."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode

__all__ = ["demo"]


def demo(
    *,
    pause: Annotated[float, Parameter(negative="")] = 1.0,
    seed: int | None = None,
) -> int:
    """Watch a producer put five random numbers into a queue, and a consumer in another process get them.

    The program is examples/producer_consumer.py: plain multiprocessing code with one import line changed.

    Args:
        pause: The producer waits a random time up to this many seconds before each number.
        seed: Makes the numbers and the waits repeatable.
    """
    if not 0 <= pause <= 3600:
        raise CommandError(f"--pause is {pause:g}; it must be from 0 to 3600 seconds")
    from .producer_consumer import main

    main(pause, seed)
    return ExitCode.OK
