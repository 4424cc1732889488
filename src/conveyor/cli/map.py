"""`conveyor map MODULE:FUNCTION`: a function for each line, in many processes."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from .exit_codes import CommandError

__all__ = ["USAGE", "map_items"]

USAGE = """conveyor map [OPTIONS] MODULE:FUNCTION

Examples:
  find . -name '*.py' | conveyor map -j 4 examples/token_counts.py:count
  conveyor map --jsonl --unordered shop:price < orders.jsonl > priced.jsonl
  seq 10 | conveyor map --jsonl math:factorial
"""


def map_items(
    function: Annotated[str, Parameter(name="MODULE:FUNCTION", show_env_var=False)],
    /,
    *,
    jobs: Annotated[str, Parameter(name=["--jobs", "-j"])] = "100%",
    jsonl: Annotated[bool, Parameter(negative="")] = False,
    unordered: Annotated[bool, Parameter(negative="")] = False,
    halt: Literal["never", "soon", "now"] = "never",
    start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    window: int = 100_000,
    max_crashes: int | None = None,
    traceback: Annotated[bool, Parameter(negative="")] = False,
    progress: bool | None = None,
) -> int:
    """Call a function for each line of standard input, in several processes; print what it returns.

    As text, an item is a line without its newline. A result that is a str is
    printed as it is, None prints nothing, anything else is printed as JSON.
    With --jsonl items and results are JSON, one a line; blank lines are skipped.
    What the function itself prints goes to standard error.

    Memory stays constant, however long the input: it is read only as fast as
    results are taken. An item is never begun twice. One whose function raises,
    or whose process dies, is named on standard error and counted; the process
    is replaced.

    Ctrl-C finishes what the workers have and ends, with exit code 0 if nothing
    failed; a second one stops at once (130). SIGTERM does the same (143). A
    reader that leaves, as head does, ends it with 0.

    Args:
        function: Module or file, and the function in it: json:loads, tools/clean.py:strip, m:Class.method.
        jobs: Worker processes: a number, or a share of the processors as in 50%.
        jsonl: Items and results are JSON, one a line.
        unordered: Print results as they come; else in the order of the input.
        halt: After the first item that failed: never stop; stop soon, finishing what has begun; stop now.
        start_method: How processes are started; Python's default if not given.
        window: Items that may be read and not yet printed, at most; what a slow item can hold up.
        max_crashes: Give up after so many processes died in a row, none of them having finished an item.
            Three for each worker, and at least ten, if not given.
        traceback: Show the whole traceback of an item that failed.
        progress: Show how far it is; if not given, when standard error is a terminal.
    """
    from .jobs import count_jobs

    try:
        workers = count_jobs(jobs)
    except ValueError as error:
        raise CommandError(f"--jobs is {error}") from None
    for name, value in (("--window", window), ("--max-crashes", max_crashes)):
        if value is not None and value < 1:
            raise CommandError(f"{name} is {value}; it must be at least 1")

    from .map_run import MapRun

    return MapRun(
        function,
        workers=workers,
        jsonl=jsonl,
        ordered=not unordered,
        halt=halt,
        start_method=start_method,
        window=window,
        max_crashes=max_crashes,
        tracebacks=traceback,
        progress=progress,
    ).run()
