"""`conveyor purge URL`: drops what waits in a queue."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from .confirm import confirm, counted
from .exit_codes import CommandError, ExitCode
from .opening import open_queue

__all__ = ["purge"]


def purge(
    url: str,
    /,
    *,
    force: Annotated[bool, Parameter(name=["--force", "-f"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Drop what waits in a queue. Asks first, naming the number of items.

    The queue stays, and what is under lease stays with its holder.

    Args:
        url: The queue, as in shm://jobs; or a label, place, id or pid, as conveyor ls has it.
        force: Do not ask.
        dry_run: Only say what would be dropped.
        as_json: Print one JSON object that says how many items have gone.
    """
    found = open_queue(url, "it keeps what its max_bytes and keep= say; conveyor rm removes it")
    from .. import BrokerUnreachable

    try:
        what = f"{counted(found.handle.qsize(), 'item')} of {found.name}"
        if dry_run:
            print(f"would purge {what}", file=sys.stderr)
            return ExitCode.OK
        confirm("purge", "purged", what, force)
        gone = found.handle.purge()
    except BrokerUnreachable as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    finally:
        found.close()
    if as_json:
        print(json.dumps({"url": found.name, "purged": gone}))
    print(f"purged {counted(gone, 'item')} of {found.name}", file=sys.stderr)
    return ExitCode.OK
