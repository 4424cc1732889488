"""`conveyor pause URL` and `conveyor resume URL`: holds the consumers of a queue back, and lets them go on."""

from __future__ import annotations

import sys
from typing import Any

from ..transports.url import masked
from .exit_codes import CommandError, ExitCode
from .info import check_queue, open_queue

__all__ = ["pause", "resume"]


def pause(
    url: str,
    /,
) -> int:
    """Hold back the consumers of a queue, in all processes: to them it looks empty, while puts go on.

    Args:
        url: The queue, as in shm://jobs.
    """
    _pausable(url).pause()
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
    _pausable(url).resume()
    print(f"resumed {masked(url)}", file=sys.stderr)
    return ExitCode.OK


def _pausable(url: str) -> Any:
    queue = open_queue(url)
    check_queue(queue, url, "its subscribers are not held back")
    if not hasattr(queue, "pause"):
        queue.close()
        raise CommandError(
            f"{masked(url)} cannot be paused, only queues of shm:// can; stop its consumers instead"
        )
    return queue
