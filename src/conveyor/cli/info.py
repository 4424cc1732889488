"""`conveyor info URL`: what a named queue or topic tells about itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from typing import Annotated

from cyclopts import Parameter

from ..transports.url import masked
from .exit_codes import CommandError, ExitCode
from .opening import open_queue_or_topic

__all__ = ["check_found", "info", "named"]


def info(
    url: str,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Print what is in a queue or topic, and what went through it.

    Args:
        url: The queue or topic, as in shm://jobs. Of one without a name: its label, the line that made it, its id, or
            the pid of a process that has it; if that means several, they are listed.
        as_json: Print one JSON object: counts, bytes and seconds as plain numbers.
    """
    if "://" not in url:
        return _tell_seen(url, as_json)
    found = open_queue_or_topic(url).handle
    statistics = found.statistics()
    figures = dataclasses.asdict(statistics)
    if hasattr(found, "is_paused"):
        figures = {"paused": found.is_paused, **figures}
    if as_json:
        print(json.dumps({"url": masked(url), **figures}))
        return ExitCode.OK
    width = max(map(len, figures))
    print(masked(url))
    subscribers = figures.pop("subscribers", ())
    units = {field.name: field.metadata.get("unit") for field in dataclasses.fields(statistics)}
    for name, value in figures.items():
        if name == "paused":
            if value:
                print("  paused")
        elif value is not None:  # else the broker does not tell
            print(f"  {name.replace('_', ' '):<{width}}  {_readable(value, units[name])}")
    for each in subscribers:
        state = "" if each["alive"] else ", dead"
        print(
            f"  subscriber {each['pid']} ({each['when_slow']}{state}): seq {each['seq']:,}, lag {each['lag']:,}, "
            f"missed {each['missed']:,}, received {each['received']:,}"
        )
    return ExitCode.OK


def _tell_seen(word: str, as_json: bool) -> int:
    """What is seen from outside of what somebody means by a word."""
    from ..inspection import Watch
    from ..inspection.queue_history import QueueRates
    from .watching.detail import detail_lines
    from .watching.rows import Held
    from .watching.text import glyphs_of_terminal

    snapshot = Watch().look_twice()
    found = snapshot.survey.find(word)
    if not found:
        raise CommandError(
            f"nothing here has the label, place or id {word!r}, and no process of that number uses conveyor; "
            "a URL looks like shm://jobs, and conveyor ls lists what there is",
            ExitCode.UNREACHABLE,
        )
    rates = [snapshot.rates.get(each.id) for each in found]
    if as_json:
        for view, rate in zip(found, rates, strict=True):
            print(json.dumps({**view.as_dict(), "rates": rate and rate.as_dict()}))
    elif len(found) > 1:
        for view in found:
            pids = " ".join(map(str, view.users))
            print(f"{view.id}  {view.kind or '?'}  {view.title}  made at {view.place or '?'}  users {pids}")
    else:
        row = Held(found[0], rates[0] or QueueRates(), snapshot.seconds)
        for line in detail_lines(row, snapshot, None, glyphs_of_terminal(), 80):
            print("".join(text for text, _ in line).rstrip())
    return ExitCode.OK


def named(urls: tuple[str, ...]) -> list[str] | None:
    """The names of the queues at these URLs; None: there are none, so all are meant.

    Raises:
        CommandError: one is no URL of ours.
    """
    from ..transports import name_in

    try:
        return [name_in(url) for url in urls] or None
    except ValueError as error:
        raise CommandError(str(error)) from None


def check_found(urls: tuple[str, ...], found: Collection[str]) -> None:
    """Say which of these queues was not there.

    Raises:
        CommandError: one was not.
    """
    from ..inspection.named_segment import path_of

    for url in urls:
        if url not in found and str(path_of(url.removeprefix("shm://"))) not in found:
            raise CommandError(f"there is no queue at {masked(url)}", ExitCode.UNREACHABLE)


def _readable(value: float | str, unit: str | None) -> str:
    if isinstance(value, str):
        return value
    if unit == "bytes":
        from ..inspection import size_text

        return size_text(value)
    return f"{value:,.3f} s" if unit == "seconds" else f"{value:,}"
