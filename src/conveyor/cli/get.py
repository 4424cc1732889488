"""`conveyor get URL`: takes items out of a queue, and writes them."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .item_lines import ItemLines
from .opening import open_queue

__all__ = ["get"]

_PORTION = 100


def get(
    url: str,
    /,
    *,
    count: Annotated[int, Parameter(name=["-n", "--count"])] = 1,
    everything: Annotated[bool, Parameter(name=["-a", "--all"], negative="")] = False,
    lease: Annotated[bool, Parameter(negative="")] = False,
    timeout: float | None = None,
    jsonl: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Take items out of a queue and write each as a line.

    At the end of the queue it stops, with exit code 0; with 4 when too few came in time.

    Args:
        url: The queue, as in redis://localhost/0/jobs; or a label, place, id or pid, as conveyor ls has it.
        count: How many.
        everything: All there are, until the queue ends, or none comes within --timeout.
        lease: Acknowledge an item after it was written: what was not written comes back.
        timeout: Seconds to wait for each item. Without it, for ever.
        jsonl: Write each as JSON; else text and bytes as they are, and all others as JSON.
    """
    if count < 1:
        raise CommandError(f"-n is {count}; it must be at least 1")
    found = open_queue(url, "see conveyor tail")
    lines = ItemLines(jsonl)
    left = sys.maxsize if everything else count
    bad = 0
    from .. import BadMessage, BrokerUnreachable, Empty, ProducerLost, ShutDown

    try:
        while left:
            try:
                left -= _portion(found.handle, lines, left, timeout, lease)
            except BadMessage as error:
                items: list[Any] = getattr(error, "items_received", [])
                _written(found.handle, lines, items)
                left -= len(items) + 1
                bad += 1
                print(f"conveyor get: {error}", file=sys.stderr)
    except Empty:
        if not everything:
            told = f"nothing came from {found.name}{'' if timeout is None else f' in {timeout:g} s'}"
            raise CommandError(f"{told}; {left:,} of {count:,} are missing", ExitCode.TIMEOUT) from None
    except ShutDown:
        pass
    except ProducerLost as error:
        raise CommandError(str(error), ExitCode.WORK_FAILED) from None
    except BrokerUnreachable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    except ValueError as error:  # a timeout that is no number
        raise CommandError(str(error)) from None
    finally:
        found.close()
    return ExitCode.WORK_FAILED if bad else ExitCode.OK


def _portion(queue: Any, lines: ItemLines, most: int, timeout: float | None, lease: bool) -> int:
    """Write some; how many. Interrupted, it has them written, or under lease still."""
    some = min(most, _PORTION)
    if lease:
        leases = queue.lease_many(some, timeout=timeout)
        with leases as items:
            found = list(items)
            lines.write(found)
        return len(found)
    found = queue.get_many(some, timeout=timeout)
    _written(queue, lines, found)
    return len(found)


def _written(queue: Any, lines: ItemLines, items: list[Any]) -> None:
    lines.write(items)
    if hasattr(queue, "task_done"):  # somebody may be in `join`
        for _ in items:
            queue.task_done()
