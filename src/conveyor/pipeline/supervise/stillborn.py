"""What is said of worker processes that could not begin, so that starting others would be in vain."""

from __future__ import annotations

from ...errors import PipelineError, WorkerPoolBroken
from ..base.failure import InWorker
from ..start.hidden_module import hidden_module
from .handle import WorkerHandle

__all__ = ["error_at_start", "error_of_stranded"]


def error_of_stranded(stage: str, why: str, traceback: str) -> Exception:
    """Of a worker that cannot import what it is to do, from what it says of it."""
    error = PipelineError(f"stage {stage!r}: {why}")
    if traceback:
        error.__cause__ = InWorker(traceback)
    return error


def error_at_start(handle: WorkerHandle, stage: str) -> Exception | None:
    """Of a process that ended by itself before it ran any code of ours; None: it has run some, or was killed."""
    said = None if handle.ended_for is not None else handle.last_words()
    if said is None:
        return None
    code = handle.exitcode
    words = said.strip()
    if not words if code is None else code < 0:
        return None
    last = words.rsplit("\n", 1)[-1]
    text = f"no worker process of stage {stage!r} can be started: it ended "
    text += "" if code is None else f"with status {code} "
    text += "before it ran any code of conveyor's" + (f": {last}" if last else "; see standard error")
    error = WorkerPoolBroken(text + (hidden_module(words) if words else ""))
    if words:
        error.__cause__ = InWorker(words)
    return error
