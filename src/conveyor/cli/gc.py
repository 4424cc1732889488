"""`conveyor gc`: removes the named queues that nobody uses."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from .exit_codes import ExitCode
from .info import check_found, named

__all__ = ["gc"]


def gc(
    *urls: str,
    force: Annotated[bool, Parameter(name=["--force", "-f"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Remove the named queues of this user that nobody alive uses, and give their memory back.

    One in which items wait is kept, as is one that is damaged or of another version; --force removes
    these too. A process that attaches at the same moment does not lose its queue.

    Exit codes: 0 done, 1 a queue could not be removed, 2 usage, 5 some were kept for what is in them.

    Args:
        urls: Only these queues, as in shm://jobs.
        force: Also remove what has items in it, or cannot be counted.
        dry_run: Remove nothing, only say what would be.
        as_json: Print a JSON object a line, one for each queue; sizes in bytes.
    """
    from ..inspection import Outcome, collect, size_text

    found = collect(named(urls), force=force, dry_run=dry_run)
    check_found(urls, {each.url for each in found})
    gone = [each for each in found if each.outcome in (Outcome.REMOVED, Outcome.WOULD_REMOVE)]
    for each in found:
        if as_json:
            print(json.dumps(each.as_dict()))
        elif each.outcome is Outcome.IN_USE:
            print(f"kept {each.url}: {each.reason}")
        else:
            print(f"{each.outcome} {each.url}: {each.reason} ({size_text(each.memory)})")
    if not as_json:
        memory = size_text(sum(each.memory for each in gone))
        count = f"{len(gone)} queue{'' if len(gone) == 1 else 's'}"
        print(f"would remove {count}, {memory}" if dry_run else f"removed {count}, gave back {memory}")
    if any(each.outcome is Outcome.FAILED for each in found):
        return ExitCode.WORK_FAILED
    return ExitCode.REFUSED if any(each.outcome is Outcome.REFUSED for each in found) else ExitCode.OK
