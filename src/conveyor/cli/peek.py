"""`conveyor peek URL`: shows what waits in a queue."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .item_lines import ItemLines
from .opening import open_queue

__all__ = ["peek"]


def peek(
    url: str,
    /,
    *,
    count: Annotated[int, Parameter(name=["-n", "--count"])] = 10,
    jsonl: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write what waits in a queue, a line each, and take none of it.

    The first line is what would be taken next. Exit code 4 says that nothing waits.

    Args:
        url: The queue, as in redis://localhost/0/jobs; or a label, place, id or pid, as conveyor ls has it.
        count: How many at most.
        jsonl: Write each as JSON; else text and bytes as they are, and all others as JSON.
    """
    if count < 1:
        raise CommandError(f"-n is {count}; it must be at least 1")
    found = open_queue(url, "see conveyor tail --from oldest")
    from .. import BadMessage, BrokerUnreachable, NotSupported

    lines = ItemLines(jsonl)
    try:
        items = found.handle.peek(count)
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
        raise CommandError(f"nothing waits in {found.name}", ExitCode.TIMEOUT)
    lines.write(items)
    return ExitCode.OK
