"""`conveyor dump PID`: what each thread of a process waits for, and of its children that use conveyor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from .exit_codes import CommandError, ExitCode
from .option import Option

if TYPE_CHECKING:
    from ..inspection import ProcessView, SegmentView, Survey, Waiter
    from ..inspection.pipeline_view import PipelineView

__all__ = ["USAGE", "dump"]

USAGE = """conveyor dump [OPTIONS] PID

Examples:
  conveyor dump 4711                    what its threads wait for, and its children's
  conveyor dump --json 4711 | jq '.[].threads[] | select(.waits)'
"""

_SIDES = {"item": "get", "room": "put"}


def dump(
    pid: int,
    /,
    *,
    as_json: Annotated[bool, Option(("--json",))] = False,
) -> int:
    """Tell what each thread of a process waits for: which queue, which side of it, since when.

    Its children that use conveyor are told of, too. Nothing is done to any of them. For the stack of Python calls:
    py-spy dump --pid PID.

    Args:
        pid: The process.
        as_json: Print one JSON list, an entry for each process: bytes, seconds and pids as plain numbers.
    """
    from ..inspection import OpenFiles, ProcessView, survey
    from ..inspection.pipelines import pipelines

    files = OpenFiles()
    seen = survey(files)
    root = ProcessView.look(pid)
    if root is None:
        raise CommandError(f"there is no process {pid} that this user may see", ExitCode.UNREACHABLE)
    runs = pipelines(files)
    found = [_entry(each, seen, runs) for each in [root, *_below(pid, seen)]]
    if as_json:
        import json

        print(json.dumps(found))
        return ExitCode.OK
    for entry in found:
        _tell(entry)
    print(f"For the stacks of Python calls: py-spy dump --pid {pid}")
    return ExitCode.OK


def _below(pid: int, seen: Survey) -> list[ProcessView]:
    """The children of a process that use conveyor, and theirs, whatever stands between."""
    from ..inspection import ProcessView

    found: list[ProcessView] = []
    for each in seen.processes.values():
        above: ProcessView | None = each
        passed = {each.pid}
        while above is not None and above.parent != pid and above.parent not in passed:
            passed.add(above.parent)
            above = ProcessView.look(above.parent) if above.parent else None
        if above is not None and above.parent == pid and each.pid != pid:
            found.append(each)
    return found


def _entry(process: ProcessView, seen: Survey, runs: list[PipelineView]) -> dict[str, Any]:
    waits: dict[int, list[dict[str, Any]]] = {}
    for segment in seen.segments:
        for waiter in segment.waiters:
            if waiter.pid == process.pid:
                waits.setdefault(waiter.thread, []).append(_wait(segment, waiter))
    threads = list(_threads(process.pid))
    there = {thread["tid"] for thread in threads}
    for thread in threads:
        thread["waits"] = waits.get(thread["tid"], [])
    elsewhere = [wait for number, several in waits.items() if number not in there for wait in several]
    workers = [
        {"pipeline": run.name, **worker.as_dict()}
        for run in runs
        for worker in run.workers
        if worker.pid == process.pid or (worker.pid == 0 and run.pid == process.pid)
    ]
    return {**process.as_dict(), "threads": threads, "other_waits": elsewhere, "workers": workers}


def _wait(segment: SegmentView, waiter: Waiter) -> dict[str, Any]:
    return {
        "what": waiter.what,
        "side": _SIDES.get(waiter.what) if segment.kind == "queue" else None,
        "seconds": waiter.seconds,
        "kind": segment.kind,
        "title": segment.title,
        "id": segment.id,
        "url": segment.url,
        "label": segment.label,
        "place": segment.place,
    }


def _threads(pid: int) -> Iterator[dict[str, Any]]:
    """Of a process: number, name, state, and where in the kernel they sleep."""
    folder = Path("/proc") / str(pid) / "task"
    try:
        # The main one first: numbers begin anew some time.
        numbers = sorted(map(int, os.listdir(folder)), key=lambda number: (number != pid, number))  # noqa: PTH208
    except OSError:
        return
    for number in numbers:
        try:
            stat = (folder / str(number) / "stat").read_text(errors="replace")
        except OSError:
            continue  # it has ended
        try:
            wchan = (folder / str(number) / "wchan").read_text().strip("0\n")
        except OSError:
            wchan = ""  # the system tells root only, or nobody
        name, _, rest = stat.partition("(")[2].rpartition(")")
        name = "".join(character if character.isprintable() else "?" for character in name)
        yield {"tid": number, "name": name, "state": rest.split()[0], "wchan": wchan}


def _tell(entry: dict[str, Any]) -> None:
    print(f"process {entry['pid']}, state {entry['state']}, child of {entry['parent']}: {entry['command']}")
    for thread in entry["threads"]:
        where = f", in {thread['wchan']}" if thread["wchan"] else ""
        print(f"  thread {thread['tid']} ({thread['name']}) {thread['state']}{where}")
        for wait in thread["waits"]:
            print(f"    {_sentence(wait)}")
    for wait in entry["other_waits"]:
        print(f"  a thread that is not seen {_sentence(wait)}")
    for worker in entry["workers"]:
        item = (
            f", at its item for {worker['item_seconds']:.1f} s" if worker["item_seconds"] is not None else ""
        )
        print(f"  worker of {worker['stage']} in {worker['pipeline']}: {worker['state']}{item}")


def _sentence(wait: dict[str, Any]) -> str:
    side = f" ({wait['side']})" if wait["side"] else ""
    names = [
        wait["title"],
        *(wait[key] for key in ("url", "place") if wait[key] and wait[key] != wait["title"]),
    ]
    return f"waits for {wait['what']}{side} of the {wait['kind']} {', '.join(names)}, for {wait['seconds']:.1f} s"
