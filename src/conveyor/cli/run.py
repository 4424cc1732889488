"""`conveyor run FILE:PIPELINE`: a pipeline from the shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode

if TYPE_CHECKING:
    from ..pipeline import Pipeline, Report

__all__ = ["USAGE", "run_pipeline"]

USAGE = """conveyor run [OPTIONS] MODULE:PIPELINE

Examples:
  conveyor run examples/logs.py:pipeline -j 4
  conveyor run examples/logs.py:pipeline --describe        what it would do
  conveyor run etl.py:nightly --resume nightly.db --html nightly.html
  conveyor run etl.py:nightly --json | jq .bottleneck
"""


def run_pipeline(
    pipeline: Annotated[str, Parameter(name="MODULE:PIPELINE", show_env_var=False)],
    /,
    *,
    jobs: Annotated[str, Parameter(name=["--jobs", "-j"])] = "100%",
    start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    halt: Literal["now", "soon"] = "now",
    max_failures: str | None = None,
    resume: Path | None = None,
    html: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    describe: Annotated[bool, Parameter(negative="")] = False,
    progress: bool | None = None,
) -> int:
    """Run a pipeline that a Python file or module defines, and report.

    The report goes to standard output when the run is over; progress, and what
    failed, to standard error. Results go where the pipeline says, by to().

    Ctrl-C finishes what is in flight and ends, with exit code 0 if nothing
    failed; a second one stops at once (130). SIGTERM does the same (143).

    Args:
        pipeline: Module or file, and the pipeline in it, or a function that returns one: etl.py:nightly.
        jobs: Workers for stages that do not say how many: a number, or a share of the processors as in 50%.
        start_method: How processes are started; Python's default if not given.
        halt: An item that fails, in a stage that does not allow it, ends the run now, or soon: what has
            begun is finished.
        max_failures: Items that may fail in all, as a number or as in 1%.
        resume: File that keeps what is done; a second run goes on from there.
        html: Write the report as a page, too.
        json: Print the report as JSON.
        describe: Show the pipeline's stages, check it, and do not run it.
        progress: Show how far it is; if not given, when standard error is a terminal.
    """
    from ..errors import PipelineError, WorkersLost
    from .jobs import count_jobs

    try:
        workers = count_jobs(jobs)
    except ValueError as error:
        raise CommandError(f"--jobs is {error}") from None
    found = _load(pipeline)
    try:
        if describe:
            found.check(start_method)
            print(found)
            return ExitCode.OK
        most = int(max_failures) if max_failures is not None and max_failures.isdigit() else max_failures
        report = found.run(
            jobs=workers,
            progress=sys.stderr.isatty() if progress is None else progress,
            start_method=start_method,
            halt=halt,
            max_failures=most,
            resume=resume,
        )
    except PipelineError as error:
        raise CommandError(str(error)) from None
    except BaseException as error:
        ended: Report | None = getattr(error, "report", None)
        if ended is None:
            raise
        _show(ended, json, html)
        if isinstance(error, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        if isinstance(error, SystemExit):
            return ExitCode.TERMINATED
        import traceback

        traceback.print_exception(error)
        return ExitCode.WORKER_LOST if isinstance(error, WorkersLost) else ExitCode.WORK_FAILED
    _show(report, json, html)
    return ExitCode.WORK_FAILED if report.failures else ExitCode.OK


def _load(target: str) -> Pipeline[Any]:
    from ..pipeline import Pipeline
    from .target import TargetError, load_object

    try:
        found = load_object(target, "pipeline", "MODULE:PIPELINE, as in etl.py:nightly")
    except TargetError as error:
        raise CommandError(str(error)) from None
    if callable(found) and not isinstance(found, Pipeline):
        try:
            found = found()
        except TypeError as error:
            raise CommandError(
                f"{target} is a function that cannot be called without arguments: {error}"
            ) from None
    if not isinstance(found, Pipeline):
        raise CommandError(
            f"{target} is a {type(found).__name__}; it must be a Pipeline, or a function that returns one"
        )
    return found  # pyright: ignore[reportUnknownVariableType]


def _show(report: Report, json: bool, html: Path | None) -> None:
    print(report.to_json() if json else report)
    if html is not None:
        try:
            report.to_html(html)
        except OSError as error:
            raise CommandError(f"--html {html} cannot be written: {error.strerror}") from None
