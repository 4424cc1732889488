"""`conveyor pause URL` and `conveyor resume URL`: holds the consumers of a queue back, and lets them go on."""

from __future__ import annotations

import sys

from .exit_codes import CommandError, ExitCode
from .opening import open_queue

__all__ = ["pause", "resume"]


def pause(
    url: str,
    /,
) -> int:
    """Hold back the consumers of a queue, in all processes: to them it looks empty, while puts go on.

    In shared memory at once; on brokers each knows of it within a second.

    Args:
        url: The queue, as in redis://localhost/0/jobs; or a label, place, id or pid, as conveyor ls has it.
    """
    return _hold(url, "pause", "paused")


def resume(
    url: str,
    /,
) -> int:
    """Let the consumers of a paused queue go on.

    Args:
        url: The queue, as in shm://jobs; or a label, place, id or pid, as conveyor ls has it.
    """
    return _hold(url, "resume", "resumed")


def _hold(url: str, what: str, done: str) -> int:
    from .. import NotSupported

    found = open_queue(url, "its subscribers are not held back")
    try:
        getattr(found.handle, what)()
    except NotSupported as error:
        raise CommandError(str(error)) from None
    finally:
        found.close()
    print(f"{done} {found.name}", file=sys.stderr)
    return ExitCode.OK
