"""`conveyor rm URL`: removes a named queue."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

from cyclopts import Parameter

from ..transports.url import masked
from .confirm import confirm, counted
from .exit_codes import CommandError, ExitCode
from .opening import find_one, open_queue

__all__ = ["rm"]


def rm(
    url: str,
    /,
    *,
    force: Annotated[bool, Parameter(name=["--force", "-f"], negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Remove a named queue and what waits in it. Asks first, naming the number of items.

    Args:
        url: The queue, as in shm://jobs; or its label, place or id, as conveyor ls has it.
        force: Do not ask.
        dry_run: Only say what would be removed.
    """
    from .. import remove

    if "://" not in url:
        url = _url_of(url)
    what = _describe(url)
    if dry_run:
        print(f"would remove {what}", file=sys.stderr)
        return ExitCode.OK
    confirm("remove", "removed", what, force)
    try:
        remove(url)
    except FileNotFoundError:
        raise CommandError(f"there is no queue at {masked(url)} any more", ExitCode.UNREACHABLE) from None
    except OSError as error:  # a directory, or not ours
        raise CommandError(f"not removed: {error}", ExitCode.WORK_FAILED) from None
    print(f"removed {what}", file=sys.stderr)
    return ExitCode.OK


def _url_of(word: str) -> str:
    """Of what somebody calls so.

    Raises:
        CommandError: it has none; then there is nothing to remove.
    """
    view = find_one(word, ("queue", "topic", "dict", "list", "array", "state", ""), None)
    if view.url is None:
        users = " ".join(map(str, view.users))
        raise CommandError(
            f"{word} has no name that could be removed: it is gone once the last process that has it ends or lets go "
            f"of it (now {users})"
            + ("; conveyor purge drops what waits in it" if view.kind == "queue" else "")
        )
    return view.url


def _describe(url: str) -> str:
    from .. import CorruptSegment, NotSupported, WrongKind, connect

    try:
        found = open_queue(url, None).handle
        if not hasattr(found, "qsize"):
            kept = getattr(found.statistics(), "kept", None)
            content = "" if kept is None else f" with {counted(kept, 'event')} in it"
            return f"the topic {masked(url)}{content}"
        depth = found.qsize()
    except CommandError:
        try:
            connect(url, create=False)
        except WrongKind as error:  # which says what it is
            return f"{masked(url)} ({error})"
        except PermissionError:
            if (of_others := _of_another_namespace(url)) is not None:
                return of_others
        except CorruptSegment:  # it cannot be counted, and is all the more to be removed
            return f"{masked(url)}, which is damaged or of another version"
        except (OSError, ValueError, NotSupported, ImportError):
            pass
        raise
    return f"{masked(url)} with {counted(depth, 'item')} in it"


def _of_another_namespace(url: str) -> str | None:
    """What of this user's was made in another pid namespace, which may have ended; None: it was not."""
    from .. import ConveyorError, WrongKind
    from ..inspection.named_segment import NamedSegment, path_of
    from ..transports import name_in

    with (
        contextlib.suppress(OSError, ConveyorError),
        NamedSegment(path_of(name_in(url))) as found,
    ):
        if found.status.st_uid != os.geteuid():
            return None
        try:
            seen = found.glance()
            content = f"{masked(url)} with {counted(seen['items'], 'item')} in it"
        except WrongKind:
            seen = found.glance_at_region()
            content = f"{masked(url)} (it is a {seen['text']})"
        if not seen["local"]:
            return f"{content}, made in another pid namespace (container)"
    return None
