"""MapOptions: what the command line of `conveyor map` says, checked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from .exit_codes import CommandError
from .halt import Halt
from .map_inputs import Inputs

__all__ = ["MapOptions", "parse_seconds"]

_BYTES = {"": 1, "k": 1000, "K": 1 << 10, "m": 1000**2, "M": 1 << 20, "g": 1000**3, "G": 1 << 30}
_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions:
    """All that a run needs to know. For what is not said here see `conveyor map --help`."""

    target: str
    """The function; empty: there is a command."""
    command: str
    """Empty: there is a function."""
    inputs: Inputs
    workers: int
    jsonl: bool
    ordered: bool
    halt: Halt
    start_method: str | None
    window: int
    max_crashes: int | None
    tracebacks: bool
    progress: bool | None
    timeout: float | None = None
    """Seconds."""
    retries: int = 0
    joblog: str | None = None
    resume: bool = False
    resume_failed: bool = False
    """Only what succeeded is done."""
    columns: re.Pattern[bytes] | None = None
    group: int | None = 1
    """Of items; with `pipe` None: as many as fit."""
    tag: str | None = None
    """A template of what each line begins with; empty: the arguments; None: nothing."""
    results: str | None = None
    ungroup: bool = False
    dry_run: bool = False
    pipe: int | None = None
    """Bytes of input at most that a command reads, as a block of whole items; None: it gets items as arguments."""
    braces: str = "{}"
    shell: str = "/bin/sh"

    def __post_init__(self) -> None:
        """Raises CommandError: something does not go with something else."""
        if bool(self.target) == bool(self.command):
            both = "both a function and --shell" if self.target else "no work"
            raise CommandError(f"the command line names {both}: give MODULE:FUNCTION, or --shell COMMAND")
        for word, given in (("--jsonl", self.jsonl), ("--start-method", self.start_method)):
            if self.command and given:
                raise CommandError(f"{word} is for functions; a command gets its items as they are")
        for word, given in (("--ungroup", self.ungroup), ("-I", self.braces != "{}")):
            if self.target and given:
                raise CommandError(f"{word} is for commands; what a function returns is printed whole")
        if self.resume and self.joblog is None:
            raise CommandError("--resume needs --joblog FILE, which says what is done")
        if self.ungroup and (self.tag is not None or self.results is not None):
            raise CommandError(
                "with --ungroup commands write by themselves; --tag and --results need their output"
            )
        for word, value in (
            ("--window", self.window),
            ("--max-crashes", self.max_crashes),
            ("-N", self.group),
        ):
            if value is not None and value < 1:
                raise CommandError(f"{word} is {value}; it must be at least 1")
        if self.pipe is not None:
            if self.target:
                raise CommandError("--pipe is for commands; a function gets each item")
            if self.inputs.only_file is None or self.columns is not None:
                raise CommandError("--pipe cuts the input into blocks; ::: and --colsep are for arguments")
            if self.results is not None:
                raise CommandError(
                    "--results names folders by the arguments of items, and with --pipe there are none"
                )
        if self.retries < 0:
            raise CommandError(f"--retries is {self.retries}; it must be at least 0")

    @property
    def outcomes(self) -> bool:
        """Whether more is asked of an item than its result: then it has a number, and an `Outcome`."""
        plain = self.inputs.only_file is not None and self.inputs.separator == b"\n" and self.columns is None
        return bool(
            not plain
            or self.command
            or self.joblog
            or self.dry_run
            or self.tag is not None
            or self.results is not None
            or self.group != 1
        )


def parse_seconds(option: str, text: str | None) -> float | None:
    """The seconds that `1.5`, `30s`, `5m`, `2h` or `1d` stand for; None for None.

    Raises:
        CommandError: it is none of these, or no time.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(ms|[smhd]?)", text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if match is None or seconds <= 0:
        raise CommandError(f"{option} is {text!r}; it must be seconds, or as in 500ms, 30s, 5m, 2h or 1d")
    return seconds


def parse_columns(text: str | None) -> re.Pattern[bytes] | None:
    """What separates columns.

    Raises:
        CommandError: it is no regular expression.
    """
    if text is None:
        return None
    try:
        return re.compile(os.fsencode(text))
    except re.error as error:
        raise CommandError(f"--colsep is {text!r}, which is no regular expression: {error}") from None


def parse_block(text: str) -> int:
    """The bytes that `65536`, `64k` or `10M` stand for.

    Raises:
        CommandError: it is no size.
    """
    match = re.fullmatch(r"(\d+)([kKmMgG]?)", text.strip())
    size = int(match[1]) * _BYTES[match[2]] if match else 0
    if not size:
        raise CommandError(
            f"--block is {text!r}; it must be bytes, or as in 64K, 10M or 1G (k, m and g are powers of 1000)"
        )
    return size
