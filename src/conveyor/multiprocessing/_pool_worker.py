"""What a worker of a `Pool` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from multiprocessing import parent_process, pool, util
from typing import Any

from ..errors import Empty
from ._pool_queues import Results, Tasks, pack, unpack

__all__ = ["work_on_tasks"]

_standard: Any = pool

# A queue does not end with the program: who waits for a task looks so often whether there can be one.
_LOOK_SECONDS = 1.0


def work_on_tasks(
    tasks: Tasks,
    results: Results,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
    most: int | None = None,
    wrap_exception: bool = False,
) -> None:
    """Do tasks, one after the other, until told to leave. What the standard library's worker does, with its arguments.

    A task is leased until its result is there: if this process dies before, it goes to the results.

    Args:
        tasks, results: where they come from and go to.
        initializer, initargs: what is called first.
        most: so many tasks, and no more.
        wrap_exception: exceptions carry their traceback.
    """
    if most is not None and not (isinstance(most, int) and most >= 1):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise AssertionError(f"Maxtasks {most!r} is not valid")
    failed = _initialize(initializer, initargs)
    if failed is not None:
        most = 1  # and another worker tries again
    results.put(os.getpid())  # it has begun
    done = 0
    program = parent_process()
    while most is None or done < most:
        try:
            lease = tasks.lease(_LOOK_SECONDS)
        except Empty:
            if program is not None and not program.is_alive():
                util.debug("the program has died -- exiting")
                break
            continue
        except (EOFError, OSError, ValueError):
            util.debug("worker finds the queue closed -- exiting")
            break
        message = lease.item
        if message is None:
            util.debug("worker got sentinel -- exiting")
            lease.acknowledge()
            break
        job, number = message[:2]
        success, value = (False, failed) if failed is not None else _call(message, wrap_exception)
        del message
        try:
            result = pack(job, number, (success, value))
            if not success:
                unpack(result)  # many exceptions cannot be made of what they say
        except Exception as error:
            said = _standard.MaybeEncodingError(error, getattr(value, "exc", value))
            if traceback := getattr(value, "tb", ""):
                said.add_note(str(traceback))
            result = pack(job, number, (False, said))
        del value
        results.put(result)
        del result
        lease.acknowledge()
        done += 1
    util.debug(f"worker exiting after {done} tasks")


def _initialize(initializer: Callable[..., object] | None, initargs: Iterable[Any]) -> Any:
    """What it raised, which the next task raises then: a pool that starts worker after worker tells nobody."""
    if initializer is not None:
        try:
            initializer(*initargs)
        except Exception as error:
            error.add_note("in the initializer of a worker of the Pool")
            return _standard.ExceptionWithTraceback(error, error.__traceback__)
    return None


def _call(message: tuple[Any, ...], wrap_exception: bool) -> tuple[bool, Any]:
    try:
        function, args, kwds = unpack(message)
    except Exception as error:
        error.add_note("the task came to a worker of the Pool, and could not be unpickled there")
        return False, _standard.ExceptionWithTraceback(error, error.__traceback__)
    try:
        return True, function(*args, **kwds)
    except Exception as error:
        if wrap_exception and function is not _standard._helper_reraises_exception:
            return False, _standard.ExceptionWithTraceback(error, error.__traceback__)
        return False, error
