"""Whether a function can be called with what an item becomes, as far as its signature tells."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import PipelineError
from ..worker.functions import is_worker_class
from ..worker.identity import takes_worker
from . import checks
from .stage_options import StageOptions

__all__ = ["check_args", "check_arguments", "check_kwargs"]


def check_args(stage: str, word: str, value: Any) -> None:
    """More arguments by place.

    Raises:
        TypeError: they are none, or a text, of which each character would be one.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(
            f"{word} of {stage} is {value!r:.60}, a {type(value).__name__}; it must be a tuple, as in args=(x,)"
        )


def check_kwargs(stage: str, word: str, value: Any) -> None:
    """More arguments by name.

    Raises:
        TypeError: they are none, or something in it is no name.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{word} of {stage} is {value!r:.60}, a {type(value).__name__}; it must be a dict of arguments by name"
        )
    for name in value:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(name, str):
            raise TypeError(
                f"{word} of {stage} has the key {name!r:.60}; the name of an argument is a string"
            )


def check_arguments(method: str, function: Any, options: StageOptions) -> None:
    """The function can be called with an item and the other arguments, or with what an item is unpacked into.

    Raises:
        PipelineError: it cannot.
    """
    if not (options.args or options.kwargs or options.unpack):
        checks.check_arity(method, function)
        return
    called, first = function, [None]
    if is_worker_class(function):
        checks.check_made(function)
        called, first = function.__call__, [None, None]
    if options.unpack:
        first.pop()
    try:
        signature = inspect.signature(called)
        kwargs = dict(options.kwargs or {})
        by_place = 1 << 30 if options.unpack else len(first) + len(options.args)
        if "worker" not in kwargs and takes_worker(called, by_place):
            kwargs["worker"] = None
        if options.unpack:
            # How many there will be, only the items know.
            signature.bind_partial(*first, *options.args, **kwargs)
            if not _takes_more(signature, len(first) + len(options.args), set(kwargs)):
                raise TypeError("takes none of them")
        else:
            signature.bind(*first, *options.args, **kwargs)
    except ValueError:
        return  # a builtin does not tell
    except TypeError as error:
        item = "what an item is unpacked into" if options.unpack else "an item"
        fixed = [f"{len(options.args)} more by place"] if options.args else []
        fixed += [f"{', '.join(options.kwargs)} by name"] if options.kwargs else []
        raise PipelineError(
            f"stage {checks.name_of(function)!r} is to be called with {' and '.join([item, *fixed])}, and {error}"
        ) from None


def _takes_more(signature: inspect.Signature, places: int, names: set[str]) -> bool:
    """Whether an argument is left, beside so many by place and those with these names."""
    for one in signature.parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            return True
        if one.name in names:
            continue
        if one.kind is one.KEYWORD_ONLY or places <= 0:
            return True
        places -= 1
    return False
