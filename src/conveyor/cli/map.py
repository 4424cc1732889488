"""`conveyor map`: a function or a command for each item, many at a time."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from .exit_codes import CommandError
from .option import Option, read_option

__all__ = ["USAGE", "map"]

USAGE = """conveyor map [OPTIONS] MODULE:FUNCTION [::: ITEM...]

Examples:
  find . -name '*.py' | conveyor map -j 4 examples/token_counts.py:count
  conveyor map --jsonl --unordered shop:price < orders.jsonl > priced.jsonl
  seq 10 | conveyor map --jsonl math:factorial
  conveyor map --shell 'gzip -9 {}' ::: *.log
  find . -name '*.wav' -print0 | conveyor map -0 --shell 'lame {} {.}.mp3'
  conveyor map --shell 'convert {1} -resize {2} {1.}_{2}.png' \\
      ::: *.jpg ::: 100 200
  conveyor map --timeout 5m --retries 2 --joblog jobs.tsv --resume \\
      -a urls.txt --shell 'curl -fsSO {}'
  conveyor map --pipe --block 10M --shell 'grep -c ERROR' < huge.log
  conveyor map --dry-run --colsep , --shell 'mv {1} {2}' < renames.csv
"""


def map(  # noqa: A001 - the verb's name, which nobody calls by it
    *words: Annotated[str, Option(("MODULE:FUNCTION",))],
    shell: Annotated[str | None, Option(("--shell",))] = None,
    jobs: Annotated[str, Option(("--jobs", "-j"))] = "100%",
    arg_file: Annotated[list[str], Option(("--arg-file", "-a"))] = [],  # noqa: B006 - read only
    null: Annotated[bool, Option(("--null", "-0"))] = False,
    colsep: Annotated[str | None, Option(("--colsep", "-C"))] = None,
    max_args: Annotated[int | None, Option(("--max-args", "-n", "-N"))] = None,
    pipe: bool = False,
    block: str | None = None,
    jsonl: bool = False,
    keep_order: Annotated[bool, Option(("--keep-order", "-k"))] = False,
    unordered: bool = False,
    timeout: str | None = None,
    retries: int = 0,
    halt: str = "never",
    joblog: str | None = None,
    resume: bool = False,
    resume_failed: bool = False,
    results: str | None = None,
    tag: bool = False,
    tagstring: str | None = None,
    ungroup: Annotated[bool, Option(("--ungroup", "-u"))] = False,
    dry_run: bool = False,
    replace: Annotated[str, Option(("--replace", "-I"))] = "{}",
    shell_path: str | None = None,
    start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    window: int = 100_000,
    max_crashes: int | None = None,
    traceback: bool = False,
    progress: Annotated[bool | None, Option(("--progress",), negative="--no-progress")] = None,
) -> int:
    """Call a function, or run a command, for each item, many at a time; print what it gives.

    Items are the lines of standard input; or of files (-a FILE, :::: FILE), or
    the words behind :::. Of several sources each item goes with each; with
    :::+ one by one. Ordered as the input, unless --unordered.

    As text, a function gets the line without its newline. A result that is a
    str is printed as it is, None prints nothing, anything else is printed as
    JSON. With --jsonl items and results are JSON, one a line; blank lines are
    skipped. What the function itself prints goes to standard error.

    In a command {} is the item, {.} without its extension, {/} without its
    folder, {//} its folder, {/.} both; {1} the first of several arguments
    (also {2.}, {-1/}); {#} its number and {%} that of its slot. Where none
    stands, {} is added. Items are data: whatever they are, no shell reads
    them. A command that is {} alone is the item. What a command writes is
    printed whole when it has ended. It reads nothing, and has a session of
    its own: when it takes too long, all that it started ends with it. With
    --pipe it reads a block of the input, and {} is not added.

    Memory stays constant, however long the input and the outputs: input is
    read only as fast as results are taken. An item is never begun twice,
    unless --retries is given. One that fails, or whose process dies, is named
    on standard error and counted; the process is replaced.

    Ctrl-C finishes what is going on and ends, with exit code 0 if nothing
    failed; a second one stops at once (130). SIGTERM does the same (143). A
    reader that leaves, as head does, ends it with 0.

    Args:
        words: Module or file, and the function in it: json:loads, tools/clean.py:strip, m:Class.method.
        shell: The command to run for each item. Without a shell where it needs none.
        jobs: How many at a time: a number, or a share of the processors as in 50%.
        arg_file: Read items from this file; - is standard input. May be given again.
        null: Items of input end with a zero byte, as find -print0 has it.
        colsep: Columns of an item are separated by this regular expression: {1}, {2}.
        max_args: So many items at a time; 1 if not given.
        pipe: The command reads items, in blocks, in the place of being given them: whole lines, about --block of
            them, or exactly -N of them.
        block: Size of a block, as in 64K or 10M; 1M if not given.
        jsonl: Items and results are JSON, one a line.
        keep_order: Print results in the order of the input, as it is anyway.
        unordered: Print results as they come.
        timeout: End an item that takes longer, as in 30s or 5m; it has failed.
        retries: Try an item that failed so many times more.
        halt: When to stop early: never; soon, finishing what has begun; now. That is after the first item that
            failed; or as in now,fail=3 or soon,fail=10% or now,success=1.
        joblog: Write a line for each item into this file: number, start, seconds, exit code, signal, command; in
            GNU parallel's form.
        resume: Leave out the items that --joblog has.
        resume_failed: Leave out those that --joblog has, and that did not fail.
        results: Keep outputs in this folder as well, as 1/ITEM/stdout and so on.
        tag: Begin each line of output with its item.
        tagstring: Begin each line of output with this, in which {} is the item.
        ungroup: Let commands write by themselves, at once; lines of several may mix.
        dry_run: Print what would be done, and do nothing.
        replace: Use this in the place of {}.
        shell_path: The shell for commands that need one; PARALLEL_SHELL or /bin/sh if not given.
        start_method: How processes are started; Python's default if not given.
        window: Items that may be read and not yet printed, at most; what a slow item can hold up.
        max_crashes: Give up after so many processes died in a row, none of them having finished an item.
            Three for each worker, and at least ten, if not given.
        traceback: Show the whole traceback of an item that failed.
        progress: Show how far it is; if not given, when standard error is a terminal.
    """
    from .halt import Halt
    from .jobs import count_jobs
    from .map_inputs import Inputs, parse_words
    from .map_options import MapOptions, parse_block, parse_columns, parse_seconds

    before, sources = parse_words(words, arg_file)
    if len(before) > 1:
        raise CommandError(f"unexpected {before[1]!r}; items stand behind ::: or come from standard input")
    if keep_order and unordered:
        raise CommandError("--keep-order and --unordered: only one of them can be had")
    if block is not None and not pipe:
        raise CommandError("--block is the size of what a command reads; it needs --pipe")
    if block is not None and max_args is not None:
        raise CommandError("--block and -N both say how much a command reads: only one of them can be had")
    options = MapOptions(
        target="".join(before),
        command=shell or "",
        inputs=Inputs(sources, b"\0" if null else b"\n"),
        workers=read_option("--jobs", jobs, count_jobs),
        jsonl=jsonl,
        ordered=not unordered,
        halt=read_option("--halt", halt, Halt),
        start_method=start_method,
        window=window,
        max_crashes=max_crashes,
        tracebacks=traceback,
        progress=progress,
        timeout=parse_seconds("--timeout", timeout),
        retries=retries,
        joblog=joblog,
        resume=resume or resume_failed,
        resume_failed=resume_failed,
        columns=parse_columns(colsep),
        group=max_args if max_args is not None else None if pipe else 1,
        pipe=parse_block(block or "1M") if pipe else None,
        tag=tagstring if tagstring is not None else "" if tag else None,
        results=results,
        ungroup=ungroup,
        dry_run=dry_run,
        braces=replace,
        shell=shell_path or os.environ.get("PARALLEL_SHELL") or "/bin/sh",
    )

    from .map_run import MapRun

    return MapRun(options).run()
