"""What runs in a worker process, and the messages between it and the run that owns it.

A worker takes items from its task queue one by one and puts each result as soon as it has it. So at
any moment the parent can tell what a dead worker had done (its results are in the queue, and survive
it), what it was doing (the first item without a result) and what it had not begun (still in its task
queue): no item is ever run twice, and none is lost but the one that killed the worker.

On the wire a plain value stands for itself. Everything else is a tuple, so that telling them apart
costs one type check, and no foreign class is ever unpickled outside a `try`.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..queue import Queue
    from .crash_note import CrashNote

__all__ = ["FAILED", "PACKED", "PLAIN", "READY", "STOP", "describe_failure", "pack", "work"]

PLAIN = frozenset({bytes, str, int, float, bool, type(None)})
"""Types that travel as they are."""

PACKED, FAILED, READY = 0, 1, 2
"""First field of a tuple on the result queue: a pickled value, a failure's fields, the greeting."""

STOP = None
"""On the task queue, in place of `(number, item)` or what `pack` makes: leave."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - cheap at start
_PR_SET_PDEATHSIG = 1


def work(
    function: Callable[[Any], Any],
    tasks: Queue[Any],
    results: Queue[Any],
    note: CrashNote,
    stdout_to_stderr: bool,
    tracebacks: bool,
) -> None:
    """Main function of a worker process: apply `function` to what comes, until told to stop."""
    _detach(stdout_to_stderr)
    note.enable()
    put = results.put
    put((READY,))
    get = tasks.get
    while (task := get()) is not STOP:
        try:
            value = function(task[1] if len(task) == 2 else _unpack(*task))
            if type(value) not in PLAIN:
                value = (PACKED, pickle.dumps(value, 5))
        except BaseException as error:  # even SystemExit: it must not pass for the worker's own end
            value = (FAILED, *describe_failure(error, tracebacks))
        try:
            put(value)
        except Exception as error:  # the result is larger than the memory that is left
            put((FAILED, *describe_failure(error, tracebacks)))


class NotSent(Exception):
    """An item that could not be pickled; raised in the worker, in its turn, to be reported as any failure."""


def pack(number: int, item: Any) -> tuple[Any, ...]:
    """The message that carries an item of any type to a worker; `_unpack` is the other end."""
    if type(item) in PLAIN:
        return number, item
    try:
        return number, pickle.dumps(item, 5), PACKED
    except Exception as error:
        return number, f"the item cannot be pickled: {type(error).__name__}: {error}", FAILED


def _unpack(_number: int, payload: Any, kind: int) -> Any:
    if kind == FAILED:
        raise NotSent(payload)
    return pickle.loads(payload)


def _detach(stdout_to_stderr: bool) -> None:
    """Cut this process off from what is the parent's: the terminal, its signals, its input and output.

    A group of its own keeps Ctrl-C and `timeout` away, which signal whole groups: the parent decides
    what they mean. It also lets the parent stop a worker together with the programs that it started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    _die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])

    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if stdout_to_stderr:
        os.dup2(2, 1)
        for stream in (sys.stdout, sys.__stdout__):
            if isinstance(stream, io.TextIOWrapper):  # else somebody has put his own in its place
                stream.reconfigure(line_buffering=True)


def _die_with_parent() -> None:
    """Have the kernel kill this process when the parent dies, however it dies."""
    import ctypes
    import fcntl
    import multiprocessing

    # This goes by the process that forked us. That is the parent, or else the fork server, which
    # lives as long as we do: for it, the pipe that ends with the parent raises the signal.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if os.getppid() != parent.pid:
        fd = parent.sentinel
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)  # it died before we asked to be told


def describe_failure(error: BaseException, tracebacks: bool) -> tuple[str, str, str, str]:
    """The fields of a `Failure` for an exception that is being handled."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        message = str(error)
    except Exception:
        message = "(its text cannot be had: __str__ raises)"
    where = ""
    step = error.__traceback__
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            where = _place(step.tb_frame, step.tb_lineno)
        step = step.tb_next
    text = ""
    if tracebacks:
        import traceback

        text = "".join(traceback.format_exception(error))
    return name, message, where, text


def _place(frame: FrameType, line: int) -> str:
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}:{line} in {code.co_name}"  # noqa: PTH119 - need not be a path
