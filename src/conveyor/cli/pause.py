"""`conveyor pause URL` and `conveyor resume URL`: holds the consumers of a queue back, and lets them go on."""

from __future__ import annotations

import sys

from ..transports.url import masked
from .exit_codes import CommandError, ExitCode
from .info import check_queue, open_queue

__all__ = ["pause", "resume"]


def pause(
    url: str,
    /,
) -> int:
    """Hold back the consumers of a queue, in all processes: to them it looks empty, while puts go on.

    In shared memory at once; on brokers each knows of it within a second.

    Args:
        url: The queue, as in shm://jobs or redis://localhost/0/jobs.
    """
    _told(url, "pause")
    print(f"paused {masked(url)}", file=sys.stderr)
    return ExitCode.OK


def resume(
    url: str,
    /,
) -> int:
    """Let the consumers of a paused queue go on.

    Args:
        url: The queue, as in shm://jobs.
    """
    _told(url, "resume")
    print(f"resumed {masked(url)}", file=sys.stderr)
    return ExitCode.OK


def _told(url: str, what: str) -> None:
    from .. import NotSupported

    queue = open_queue(url)
    try:
        check_queue(queue, url, "its subscribers are not held back")
        getattr(queue, what)()
    except NotSupported as error:
        raise CommandError(str(error)) from None
    finally:
        queue.close()
