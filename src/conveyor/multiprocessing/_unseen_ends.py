"""noticing_unseen_ends: a process whose end is noticed also when another caller has waited for it.

The system reports a child's end once: not at all while SIGCHLD is ignored, and to the first that waits for any child.
`multiprocessing` takes that for a process that has not been made yet, and goes on to ask.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from functools import partial
from typing import Any

__all__ = ["UNKNOWN", "exit_code_of", "noticing_unseen_ends"]

UNKNOWN = 255
"""The exit code of a process that nobody here can ask about any more; asyncio gives the same."""


_MOST = 1000
_codes: OrderedDict[int, int] = OrderedDict()
_came = threading.Condition()


def exit_code_of(pid: int, seconds: float) -> int | None:
    """How one of these processes ended, as far as somebody asks for it within so many seconds; None: nobody did."""
    with _came:
        _came.wait_for(lambda: pid in _codes, seconds)
        return _codes.get(pid)


def noticing_unseen_ends(process: Any) -> Any:
    """The process object, which has not been started yet, so changed that its `exitcode` and `join` notice its end."""

    def popen(process: Any) -> Any:
        del process._Popen  # it is not for the child, to which the object goes
        started = process._Popen(process)
        started.poll = partial(_poll, started)
        return started

    process._Popen = popen
    return process


def _poll(popen: Any, flag: int = os.WNOHANG) -> int | None:
    code: int | None = popen.__class__.poll(popen, flag)
    if code is not None:
        with _came:
            _codes[popen.pid] = code
            if len(_codes) > _MOST:
                _codes.popitem(last=False)
            _came.notify_all()
    if code is not None or popen.method == "forkserver":  # whose children are not ours: it reports their ends
        return code
    try:
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        popen.returncode = UNKNOWN
        return UNKNOWN
    return None
