"""`conveyor doctor`: is all well with this system and its named queues, and what to type if not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .exit_codes import ExitCode
from .info import check_found, named

if TYPE_CHECKING:
    from ..inspection import Finding

__all__ = ["doctor"]

_COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(
    *urls: str,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Examine this system and the named queues of this user, and say what to do about what is wrong.

    Exit codes: 0 all is well, 1 something needs to be done, 2 usage.

    Args:
        urls: Of the queues, only these, as in shm://jobs.
        as_json: Print a JSON object a line, one for each finding; sizes in bytes.
    """
    from ..inspection import Level, examine

    names = named(urls)
    findings: list[Finding] = []

    def each() -> Iterable[Finding]:
        for finding in examine(names):
            findings.append(finding)
            yield finding

    if as_json:
        for finding in each():
            print(json.dumps(finding.as_dict()))
    elif sys.stdout.isatty():
        _print_table(each())
    else:
        for finding in each():
            advice = f"  -> {finding.advice}" if finding.advice else ""
            print(f"{finding.level:<8} {finding.subject}: {finding.text}{advice}")
    check_found(urls, {finding.subject for finding in findings})
    bad = sum(finding.level is Level.PROBLEM for finding in findings)
    return ExitCode.WORK_FAILED if bad else ExitCode.OK


def _print_table(findings: Iterable[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, expand=False)
    table.add_column("")
    table.add_column("examined", overflow="fold")
    table.add_column("found", overflow="fold")
    table.add_column("type", overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.level, _COLOURS[finding.level]),
            Text(finding.subject),
            Text(finding.text),
            Text(finding.advice, "bold"),
        )
    Console().print(table)
