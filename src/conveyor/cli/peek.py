"""`conveyor peek URL`: shows what waits in a queue."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .item_lines import ItemLines
from .opening import Opened, open_queue

__all__ = ["peek"]


def peek(
    url: str,
    /,
    *,
    count: Annotated[int, Parameter(name=["-n", "--count"])] = 10,
    jsonl: Annotated[bool, Parameter(negative="")] = False,
    dead: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write what waits in a queue, a line each, and take none of it.

    The first line is what would be taken next. Exit code 4 says that nothing waits. With --dead what the broker has set
    aside, as it failed too often: JSON with item, attempts, error and pid, the oldest first.

    Args:
        url: The queue, as in redis://localhost/0/jobs; or a label, place, id or pid, as conveyor ls has it.
        count: How many at most.
        jsonl: Write each as JSON; else text and bytes as they are, and all others as JSON.
        dead: Not what waits, but what was given up and is in no queue of dead letters.
    """
    if count < 1:
        raise CommandError(f"-n is {count}; it must be at least 1")
    found = open_queue(url, "see conveyor tail --from oldest")
    from .. import BadMessage, BrokerUnreachable, NotSupported

    lines = ItemLines(jsonl)
    try:
        items = _dead(found, count) if dead else found.handle.peek(count)
    except NotSupported as error:
        raise CommandError(str(error)) from None
    except BrokerUnreachable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    except Exception as error:
        read: list[Any] | None = getattr(error, "items_received", None)
        if read is None:
            raise
        lines.write(read)
        what = str(error) if isinstance(error, BadMessage) else f"{type(error).__name__}: {error}"
        print(f"conveyor peek: an item cannot be read: {what}", file=sys.stderr)
        return ExitCode.WORK_FAILED
    finally:
        found.close()
    if not items:
        nothing = f"nothing is set aside of {found.name}" if dead else f"nothing waits in {found.name}"
        raise CommandError(nothing, ExitCode.TIMEOUT)
    lines.write(items)
    return ExitCode.OK


def _dead(found: Opened, count: int) -> list[Any]:
    from .. import NotSupported

    queue = found.handle
    if not hasattr(queue, "peek_dead"):
        raise NotSupported(
            f"what {found.name} has set aside is out of reach; give it dead_letters=, and peek into those"
        )
    return [
        {"item": each.item, "attempts": each.attempts, "error": each.error, "pid": each.pid}
        for each in queue.peek_dead(count)
    ]
