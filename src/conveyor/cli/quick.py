"""quick_call: a verb's call, made of plain words without the parser of the whole command line.

Verbs that scripts call again and again must not wait for a parser, which takes longer to import than they take to do
their work. What is not plain is left to that parser: --help, what is wrong, variables of the environment.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .option import option_of

__all__ = ["QUICK_VERBS", "quick_call", "quick_verb"]

QUICK_VERBS = ("check", "dump", "ls", "map", "top")
"""Verbs whose options are said by `Option`: each is a function of that name in the module of that name."""

_NUMBERS: Mapping[Any, Callable[[str], Any]] = {str: str, int: int, float: float}


def quick_verb(name: str) -> Callable[..., int]:
    """The function that does what the verb says."""
    function: Callable[..., int] = getattr(import_module(f"{__package__}.{name}"), name)
    return function


def quick_call(words: Sequence[str]) -> Callable[[], int] | None:
    """What to call; None: these words are not plain, or not those of such a verb.

    Args:
        words: the verb and what stands behind it.
    """
    if not words or words[0] not in QUICK_VERBS:
        return None
    verb = words[0]
    if any(name.startswith(f"CONVEYOR_{verb.upper()}_") for name in os.environ):
        return None
    return bound(quick_verb(verb), words[1:])


def bound(function: Callable[..., int], words: Sequence[str]) -> Callable[[], int] | None:
    """The function with arguments made of these words; None: they are not plain, or too few or too many."""
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    options: dict[str, tuple[str, Any]] = {}
    for name, parameter in signature.parameters.items():
        kind, option = option_of(name, hints[name])
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            options |= dict.fromkeys(option.names, (name, _plain(kind)))
            if option.negative:
                options[option.negative] = (name, NoneType)
    places: list[str] = []
    chosen: dict[str, Any] = {}
    left = list(words)
    try:
        while left:
            word = left.pop(0)
            if word == "--":
                places += left
                break
            if not word.startswith("-") or word == "-":
                places.append(word)
                continue
            name, equals, text = word.partition("=")
            if (
                name not in options
                and not word.startswith("--")
                and options[word[:2]][1] not in (bool, NoneType)
            ):
                name, equals, text = word[:2], "=", word[2:].removeprefix("=")  # as in -j4
            key, kind = options[name]
            if kind is bool or kind is NoneType:
                if equals:
                    return None
                chosen[key] = kind is bool
                continue
            value = _value(kind, text if equals else left.pop(0))
            chosen[key] = [*chosen.get(key, []), value] if get_origin(kind) is list else value
        positional = [
            each
            for each in signature.parameters.values()
            if each.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
        ]
        kinds = [option_of(each.name, hints[each.name])[0] for each in positional]
        if positional and positional[-1].kind is inspect.Parameter.VAR_POSITIONAL:
            kinds += [kinds[-1]] * (len(places) - len(kinds))
        values = [_value(kind, text) for kind, text in zip(kinds, places, strict=False)]
        signature.bind(*places, **chosen)
    except (KeyError, IndexError, ValueError, TypeError):
        return None
    return partial(function, *values, **chosen)


def _plain(kind: Any) -> Any:
    """The type without None, which nobody can type."""
    if get_origin(kind) in (Union, UnionType):
        [kind] = [each for each in get_args(kind) if each is not NoneType]
    return kind


def _value(kind: Any, text: str) -> Any:
    """The value that a text stands for.

    Raises:
        KeyError, ValueError: none, or it takes more than this to know.
    """
    kind = _plain(kind)
    if get_origin(kind) is list:
        [kind] = get_args(kind)
    if get_origin(kind) is Literal:
        return {str(each): each for each in get_args(kind)}[text]
    return _NUMBERS[kind](text)
