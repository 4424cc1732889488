"""What can be found wrong with a pipeline before it runs; each error names the stage and says what to do."""

from __future__ import annotations

import inspect
import multiprocessing
from collections.abc import AsyncIterable, Iterable
from multiprocessing.context import get_spawning_popen, set_spawning_popen
from typing import Any, cast

from ...errors import PipelineError
from ..sources.keyed import Keyed
from ..worker.by_value import EXTRA, NotImportable, dump
from ..worker.functions import is_worker_class
from ..worker.identity import takes_worker
from ..worker.main_module import refuse_while_importing_main
from .stage import Stage

__all__ = [
    "check_arity",
    "check_count",
    "check_flag",
    "check_function",
    "check_made",
    "check_seconds",
    "check_sendable",
    "check_source",
    "name_of",
]


def name_of(function: Any) -> str:
    """What people call it."""
    found = getattr(function, "__name__", None)
    if found is None and hasattr(function, "func"):  # functools.partial
        return name_of(function.func)
    return str(found or type(function).__name__)


def check_count(stage: str, argument: str, value: Any, least: int) -> None:
    """A number of things.

    Raises:
        TypeError, PipelineError: it is none, or too small.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{argument} of {stage} is {value!r}; it must be an integer")
    if value < least:
        raise PipelineError(f"{argument} of {stage} is {value}; it must be at least {least}")


def check_seconds(stage: str, argument: str, value: Any, zero: bool = False) -> None:
    """A time span.

    Raises:
        TypeError, PipelineError: it is none, or not positive.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{argument} of {stage} is {value!r}; it must be a number of seconds")
    if not (value >= 0 if zero else value > 0):
        raise PipelineError(f"{argument} of {stage} is {value}; it must be {'0 or' if zero else ''} above 0")


def check_flag(stage: str, argument: str, value: Any) -> None:
    """True or False.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument} of {stage} is {value!r}; it must be True or False")


def check_function(method: str, function: Any) -> None:
    """It can be called for an item.

    Raises:
        TypeError: it cannot be called at all, or was called already.
    """
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError(f"{method}() got a coroutine; give the async function itself, without calling it")
    if not callable(function):
        raise TypeError(f"{method}() got {function!r:.60}, a {type(function).__name__}; it takes a function")


def check_arity(method: str, function: Any, count: int = 1) -> None:
    """It can be called with so many arguments, and the worker if it asks for that, as far as that can be told.

    Raises:
        PipelineError: it cannot.
    """
    called = function
    if is_worker_class(function):
        check_made(function)
        called = function.__call__
        count += 1
    try:
        asked: dict[str, Any] = {"worker": None} if takes_worker(called, count) else {}
        inspect.signature(called).bind(*[None] * count, **asked)
    except ValueError:
        return  # a builtin does not tell
    except TypeError as error:
        items = "an item" if count == 1 or is_worker_class(function) else f"{count} arguments"
        raise PipelineError(
            f"stage {name_of(function)!r} is to be called with {items}, and {error}; "
            f"{method}() takes a function of {'one argument' if items == 'an item' else items}"
        ) from None


def check_made(function: type) -> None:
    """A worker can make an object of this class.

    Raises:
        PipelineError: it cannot.
    """
    try:
        inspect.signature(function).bind()
    except ValueError:
        return
    except TypeError as error:
        raise PipelineError(
            f"stage {name_of(function)!r}: a worker makes its object by {name_of(function)}(), and {error}; "
            "give an object, or functools.partial is not needed: let setup() do what needs arguments"
        ) from None


def check_sendable(spec: Stage, start_method: str | None) -> None:
    """It can be sent to a worker process, where that is not a copy of this one.

    Raises:
        PipelineError: it cannot.
    """
    method = start_method or multiprocessing.get_start_method()
    if spec.where != "processes" or method == "fork":
        return
    refuse_while_importing_main()
    _check_arguments_sendable(spec, method)
    try:
        _try_to_send(spec.function)
    except NotImportable as error:
        raise PipelineError(
            f"stage {spec.name!r} cannot be sent to worker processes that are started by {method}: they import what "
            f"they do, and {error}; define it in a file and import it from there, {EXTRA}, use threads=, "
            'or start_method="fork"'
        ) from None
    except Exception as error:
        what = "a lambda" if name_of(spec.function) == "<lambda>" else "its function"
        raise PipelineError(
            f"stage {spec.name!r} cannot be sent to worker processes that are started by {method}: {what} cannot "
            f"be pickled ({error}); define it by def at the top of a module, {EXTRA}, use threads=, "
            'or start_method="fork"'
        ) from None


def _check_arguments_sendable(spec: Stage, method: str) -> None:
    given = [(f"args[{number}]", value) for number, value in enumerate(spec.args)]
    given += [(f"kwargs[{name!r}]", value) for name, value in (spec.kwargs or {}).items()]
    for word, value in given:
        try:
            _try_to_send(value)
        except Exception as error:
            raise PipelineError(
                f"stage {spec.name!r} cannot be sent to worker processes that are started by {method}: its {word}, a "
                f"{type(value).__name__}, cannot be pickled ({error}); have a class make it in setup(), use threads=, "
                'or start_method="fork"'
            ) from None


class _Nobody:
    """Stands for a process that is being started: what only such a one may inherit can be pickled for it."""

    DupFd = staticmethod(int)

    @staticmethod
    def duplicate_for_child(fd: int) -> int:
        return fd


def _try_to_send(function: Any) -> None:
    """Pickle it for a process that is being started."""
    before = get_spawning_popen()
    set_spawning_popen(cast("Any", _Nobody()))
    try:
        # The content of arrays matters not, and would be copied.
        dump(function, lambda: _out_of_band)
    finally:
        set_spawning_popen(before)


def _out_of_band(_: object) -> bool:
    return False


def check_source(source: Any) -> None:
    """Items can come from it.

    Raises:
        TypeError: they cannot.
    """
    if isinstance(source, Keyed):
        source = source.source
    if isinstance(source, (str, bytes)):
        raise TypeError(
            f"the source is {source!r:.40}, which would be taken apart into characters; "
            "for the lines of a file say read_lines(path), for one item [item]"
        )
    if isinstance(source, (list, tuple)) and source and all(map(_is_queue, source)):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        kind = type(source).__name__  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        raise TypeError(
            f"the source is a {kind} of {len(source)} queues, and they themselves would be the items; "  # pyright: ignore[reportUnknownArgumentType]
            "give one queue that all producers put into, or itertools.chain(*queues) to read one after the other; "
            "if they are to be the items, give iter(queues)"
        )
    if isinstance(source, (Iterable, AsyncIterable)) or hasattr(source, "__getitem__"):
        return
    if callable(getattr(source, "subscribe", None)) or callable(getattr(source, "fill", None)):
        return
    if callable(source) and not isinstance(source, type):
        check_arity("Pipeline", source, 0)
        return
    raise TypeError(
        f"the source is {source!r:.60}, a {type(source).__name__}; it must be an iterable, an async iterable, "
        "a generator function without arguments, or a queue of conveyor's"
        + ("; iter(queue.get, None) reads this one until None comes" if _is_queue(source) else "")
    )


def check_acknowledge(source: Any, acknowledge: Any) -> None:
    """Items of that source can be acknowledged then.

    Raises:
        PipelineError: they cannot.
    """
    if acknowledge is None:
        return
    if acknowledge not in ("on_result", "on_take"):
        raise PipelineError(f"acknowledge is {acknowledge!r}; it must be 'on_result', 'on_take' or None")
    if acknowledge == "on_result" and not callable(getattr(source, "lease_many", None)):
        raise PipelineError(
            f"acknowledge='on_result' needs a source whose items can be leased, and a {type(source).__name__} has no "
            "lease_many(); give a queue of conveyor's"
        )


def _is_queue(source: Any) -> bool:
    return callable(getattr(source, "get", None)) and callable(getattr(source, "put", None))
