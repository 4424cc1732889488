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
    print(f"paused {_told(url, 'pause')}", file=sys.stderr)
    return ExitCode.OK


def resume(
    url: str,
    /,
) -> int:
    """Let the consumers of a paused queue go on.

    Args:
        url: The queue, as in shm://jobs; or a label, place, id or pid, as conveyor ls has it.
    """
    print(f"resumed {_told(url, 'resume')}", file=sys.stderr)
    return ExitCode.OK


def _told(url: str, what: str) -> str:
    """Do it; how the queue is called."""
    from .. import NotSupported

    found = open_queue(url, "its subscribers are not held back")
    try:
        getattr(found.handle, what)()
    except NotSupported as error:
        raise CommandError(str(error)) from None
    finally:
        found.close()
    return found.name
