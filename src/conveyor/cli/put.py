"""`conveyor put URL`: puts items into a queue, or publishes events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .item_lines import ItemLines
from .opening import Opened, open_queue_or_topic

__all__ = ["put"]


def put(
    url: str,
    /,
    *items: str,
    jsonl: Annotated[bool, Parameter(negative="")] = False,
    file: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    key: str | None = None,
    timeout: float | None = None,
    create: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Put items into a queue, or publish them as events of a topic.

    Without items and files it reads lines from standard input, and puts each as it comes.

    Args:
        url: The queue or topic, as in redis://localhost/0/jobs; or a label, place, id or pid, as conveyor ls has it.
        items: One item each.
        jsonl: Items and lines are JSON; else they are text.
        file: A file of lines. May be given several times.
        key: Of the events; for topics.
        timeout: Seconds to wait for room. Without it, for ever.
        create: Make the queue if there is none.
    """
    found = open_queue_or_topic(url, create)
    if key is not None and found.is_queue:
        raise CommandError(f"--key is {key!r}; it is for topics, and {found.name} is a queue")
    done = 0
    try:
        for portion in _portions(ItemLines(jsonl), items, file):
            if found.is_queue:
                found.handle.put_many(portion, timeout=timeout)
            else:
                found.handle.publish_many(portion, key=key, timeout=timeout)
            done += len(portion)
    except CommandError as error:
        raise CommandError(f"{error}; {_said(done)} before", error.code) from None
    except Exception as error:
        done += getattr(error, "items_put", 0)
        raise _meaning(error, found, done) from None
    finally:
        found.close()
    print(f"{_said(done)} into {found.name}", file=sys.stderr)
    return ExitCode.UNREACHABLE if found.is_orphaned else ExitCode.OK


def _portions(lines: ItemLines, items: tuple[str, ...], files: tuple[Path, ...]) -> Iterator[list[Any]]:
    if items:
        yield lines.items(items)
    for path in files:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"--file is {str(path)!r}: {error.strerror}") from None
        try:
            yield from lines.read(descriptor)
        finally:
            os.close(descriptor)
    if not items and not files:
        yield from lines.read(sys.stdin.fileno())


def _said(count: int) -> str:
    return f"put {count:,} item{'' if count == 1 else 's'}"


def _meaning(error: Exception, found: Opened, done: int) -> Exception:
    from .. import Full, ShutDown

    where = f"{_said(done)} into {found.name}"
    if isinstance(error, Full):
        return CommandError(f"{where}, and there is no room for more", ExitCode.TIMEOUT)
    if isinstance(error, ShutDown) and found.is_orphaned:
        return CommandError(f"{where}, which nobody has any more", ExitCode.UNREACHABLE)
    if isinstance(error, ShutDown):
        return CommandError(f"{where}, which is shut down and takes no more", ExitCode.REFUSED)
    if isinstance(error, OSError):  # out of reach, or removed meanwhile
        return CommandError(f"{where}; {error}", ExitCode.UNREACHABLE)
    if isinstance(error, (TypeError, ValueError)):  # what its codec cannot take
        return CommandError(f"{where}; {error}", ExitCode.WORK_FAILED)
    return error
