"""`conveyor wait URL`: returns when a queue is empty, or at its end."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .opening import Opened, open_queue

__all__ = ["wait"]

# It looks so often, and more and more seldom: a queue that takes hours to drain is not to be asked all the time.
_FIRST_SECONDS, _LAST_SECONDS, _GROWTH = 0.1, 1.0, 1.3


def wait(
    url: str,
    /,
    *,
    until: Literal["empty", "end"] = "empty",
    timeout: float | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Wait until nothing is left in a queue, or until it ends. Takes nothing.

    What is under lease, or comes back after a delay, is left in it, as far as its broker tells: RabbitMQ does not
    tell. Exit code 4 says that the time was over.

    Args:
        url: The queue, as in shm://jobs; or a label, place, id or pid, as conveyor ls has it.
        until: empty: nothing is left in it. end: it was shut down as well.
        timeout: Seconds to wait at most. Without it, for ever.
        as_json: Print one JSON object in the end: what is left, and how long it took.
    """
    if timeout is not None and not timeout >= 0:
        raise CommandError(f"--timeout is {timeout:g}; it must be a number of seconds, at least 0")
    found = open_queue(url, "it has no items that are taken")
    start = time.monotonic()
    try:
        told = _wait(found, until, None if timeout is None else start + timeout)
    except FileNotFoundError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    except OSError as error:  # out of reach
        raise CommandError(f"{found.name}: {error}", ExitCode.UNREACHABLE) from None
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
        found.close()
    if as_json:
        seconds = round(time.monotonic() - start, 6)
        print(json.dumps({"url": found.name, **told, "seconds": seconds}))
    if not told["done"] and found.is_orphaned:
        raise CommandError(
            f"{_words(told)} in {found.name}, and nobody is left to take them", ExitCode.UNREACHABLE
        )
    if not told["done"]:
        raise CommandError(
            f"{_words(told)} in {found.name} after {timeout:g} s"
            + ("" if told["ended"] or until == "empty" else ", which has not ended"),
            ExitCode.TIMEOUT,
        )
    return ExitCode.OK


def _wait(found: Opened, until: str, deadline: float | None) -> dict[str, Any]:
    pause = _FIRST_SECONDS
    shows = sys.stderr.isatty()
    while True:
        # In this order: what is seen to be empty after the end stays so.
        orphaned = found.is_orphaned
        ended = found.handle.is_shutdown
        figures = found.handle.statistics()
        left = {name: getattr(figures, name) for name in ("depth", "leased", "returned")}
        told = {
            **left,
            "ended": ended,
            "done": not any(left.values()) and (ended or orphaned or until == "empty"),
        }
        now = time.monotonic()
        if told["done"] or orphaned or (deadline is not None and now >= deadline):
            return told
        if shows:
            print(f"\r\x1b[2K{_words(told)}", end="", file=sys.stderr, flush=True)
        with suppress(OverflowError):  # a timeout of centuries
            time.sleep(pause if deadline is None else min(pause, deadline - now))
        pause = min(pause * _GROWTH, _LAST_SECONDS)


def _words(told: dict[str, Any]) -> str:
    leased = told["leased"]
    return f"{told['depth'] or 0:,} waiting" + (f", {leased:,} under lease" if leased else "")
