"""`conveyor run FILE:PIPELINE`: a pipeline from the shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from .exit_codes import CommandError, ExitCode
from .option import read_option

if TYPE_CHECKING:
    from ..pipeline import Pipeline, Report

__all__ = ["USAGE", "explain", "run_pipeline"]

USAGE = """conveyor run [OPTIONS] MODULE:PIPELINE

Examples:
  conveyor run examples/logs.py:pipeline -j 4
  conveyor run examples/logs.py:pipeline --describe        what it would do
  conveyor run etl.py:nightly --resume nightly.db --html nightly.html
  conveyor run etl.py:nightly --json | jq -r .bottleneck
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
    seed: int | None = None,
    logs: bool = True,
    inline: Annotated[bool, Parameter(negative="")] = False,
    html: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    describe: Annotated[bool, Parameter(negative="")] = False,
    progress: bool | None = None,
    dash: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run a pipeline that a Python file or module defines, and report.

    The report goes to standard output when the run is over; progress, and what
    failed, to standard error. Results go where the pipeline says, by to(); if
    that is standard output, the report goes to standard error, too.

    Ctrl-C finishes what is in flight and ends, with exit code 0 if nothing
    failed; a second one stops at once (130). SIGTERM does the same (143).

    Args:
        pipeline: Module or file, and the pipeline in it, or a function that returns one: etl.py:nightly.
        jobs: Workers of stages that do not say how many: a number, or a share of the processors as in 50%.
        start_method: How processes are started; Python's default if not given.
        halt: An item that fails, in a stage that does not allow it, ends the run now, or soon: what has
            begun is finished.
        max_failures: Items that may fail in all, as a number or as in 1%.
        resume: File that keeps what is done; a second run goes on from there.
        seed: Random numbers of random, NumPy and worker.rng are the same in each run with the same seed.
        logs: What workers log, and their warnings, come here; --no-logs: the workers see to it themselves.
        inline: Call all functions in this process, for a debugger: breakpoint() works.
        html: Write the report as a page, too.
        json: Print the report as JSON; what functions print goes to standard error.
        describe: Show the pipeline's stages, check it, and do not run it.
        progress: Show how far it is; if not given, when standard error is a terminal.
        dash: Open the page of conveyor dash meanwhile, and say on standard error where it is.
    """
    from ..errors import PipelineError
    from ..pipeline.progress.make_display import make_display
    from .jobs import count_jobs

    workers = read_option("--jobs", jobs, count_jobs)
    if html is not None and not os.access(html.parent, os.W_OK):
        why = "there is no such folder" if not html.parent.is_dir() else "its folder is not writable"
        raise CommandError(f"--html {html} cannot be written: {why}")
    found = _load(pipeline)
    shown = sys.stderr.isatty() if progress is None else progress
    # Whatever the pipeline itself writes to standard output is the data; then the report goes elsewhere.
    has_data = _writes_to_stdout(found)
    try:
        if describe:
            found.check(start_method)
            print(found)
            return ExitCode.OK
        most = int(max_failures) if max_failures is not None and max_failures.isdigit() else max_failures
        display = make_display(shown, found.name, sums_up=has_data or not sys.stdout.isatty(), quiet=True)
        with _stdout_for_the_report() if json and not has_data else nullcontext():
            report = found.run(
                jobs=workers,
                progress=display,
                start_method=start_method,
                halt=halt,
                max_failures=most,
                resume=resume,
                seed=seed,
                logs=logs,
                inline=inline,
                dashboard=dash,
            )
    except PipelineError as error:
        raise CommandError(str(error)) from None
    except BaseException as error:
        ended: Report | None = getattr(error, "report", None)
        if ended is None:
            raise
        _show(ended, json, html, has_data)
        return explain(error)
    _show(report, json, html, has_data)
    return ExitCode.WORK_FAILED if report.failures else ExitCode.OK


def _writes_to_stdout(pipeline: Pipeline[Any]) -> bool:
    """Whether the pipeline's items go to standard output, in any branch."""
    from ..pipeline.graph.graph import Tee, To

    targets = [step.target for step in pipeline.graph.every_step() if isinstance(step, (To, Tee))]
    return any(
        target is print or target is sys.stdout or str(target) in ("/dev/stdout", "/dev/fd/1")
        for target in targets
    )


@contextmanager
def _stdout_for_the_report() -> Generator[None]:
    """What functions print meanwhile, in whatever process, goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def explain(error: BaseException) -> int:
    """Say on standard error what ended the run; returns the exit code."""
    from ..errors import ItemTimeout, TooManyFailures, WorkerLost, WorkerPoolBroken

    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, SystemExit):
        return ExitCode.TERMINATED
    own = isinstance(error, (ItemTimeout, TooManyFailures, WorkerLost, WorkerPoolBroken))
    if not own:
        print(_traceback(error), file=sys.stderr)
    notes = "; ".join(getattr(error, "__notes__", ()))
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    print(f"conveyor run: stopped by {text}" + (f" ({notes})" if notes else ""), file=sys.stderr)
    return ExitCode.WORKER_LOST if isinstance(error, WorkerPoolBroken) else ExitCode.WORK_FAILED


def _traceback(error: BaseException) -> str:
    """Where it was raised: in a worker, if it was there; without conveyor's own calls."""
    import traceback

    cause = error.__cause__
    if cause is not None and type(cause).__name__ == "InWorker":
        return str(cause).strip().strip('"').strip()
    package = str(Path(__file__).parent.parent)
    made = traceback.TracebackException.from_exception(error)
    made.stack = traceback.StackSummary.from_list(
        [frame for frame in made.stack if not frame.filename.startswith(package)]
    )
    made.__notes__ = None  # pyright: ignore[reportAttributeAccessIssue]
    return "".join(made.format()).rstrip()


def _load(target: str) -> Pipeline[Any]:
    from ..pipeline import Pipeline
    from .target import TargetError, last_place, load_object

    try:
        found = load_object(target, "pipeline", "MODULE:PIPELINE, as in etl.py:nightly")
    except TargetError as error:
        raise CommandError(str(error)) from None
    if callable(found) and not isinstance(found, Pipeline):
        try:
            found = found()
        except Exception as error:
            raise CommandError(f"{target}, called without arguments, raised {last_place(error)}") from error
    if not isinstance(found, Pipeline):
        raise CommandError(
            f"{target} is of type {type(found).__name__}; it must be a Pipeline, or a function that returns one"
        )
    return found  # pyright: ignore[reportUnknownVariableType]


def _show(report: Report, json: bool, html: Path | None, has_data: bool) -> None:
    print(report.to_json() if json else report, file=sys.stderr if has_data else sys.stdout, flush=True)
    if html is not None:
        try:
            report.to_html(html)
        except OSError as error:
            raise CommandError(f"--html {html} cannot be written: {error.strerror}") from None
