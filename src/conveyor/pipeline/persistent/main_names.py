"""What a job needs of the program's main module, and whether a copy of the program that was made earlier has the same.

A function of an imported module is had in any process by its name. The main module is another matter: a script goes on,
and a notebook defines the same function again, while a process that was forked before has what there was then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

__all__ = ["have_same", "main_names", "needed_names"]

# Of other values, nobody can tell whether they have changed inside.
_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def main_names() -> dict[str, Any]:
    """The functions, classes and plain constants of the main module, as they are now."""
    return {name: value for name, value in list(vars(sys.modules["__main__"]).items()) if _counts(value)}


def needed_names(objects: Iterable[Any]) -> dict[str, Any]:
    """Those that these functions and classes are, or use, directly or by what they call.

    Args:
        objects: of any module; those of others need nothing.
    """
    main = vars(sys.modules["__main__"])
    needed: dict[str, Any] = {}
    names = [str(made.__qualname__).partition(".")[0] for made in objects if made.__module__ == "__main__"]
    while names:
        name = names.pop()
        value = main.get(name, needed)
        if name in needed or not _counts(value):
            continue
        needed[name] = value
        names += _names_in(value)
    return needed


def have_same(names: dict[str, Any], needed: dict[str, Any]) -> bool:
    """Whether what is needed was the same then.

    Args:
        names: what there was; see `main_names`.
        needed: what is needed.
    """
    return all(_is_same(names.get(name, needed), value) for name, value in needed.items())


def _counts(value: Any) -> bool:
    return isinstance(value, (FunctionType, type)) or type(value) in _PLAIN


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in _PLAIN and one == other)


def _names_in(value: Any) -> Iterator[str]:
    """Names of the main module that its code may look up."""
    if getattr(value, "__module__", None) != "__main__":
        return
    if isinstance(value, FunctionType):
        yield from _names_in_code(value.__code__)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            yield from _names_in(wrapped)
    elif isinstance(value, type):
        for base in value.__bases__:
            if base.__module__ == "__main__":
                yield base.__name__
        for member in list(vars(value).values()):
            # Of a property, a classmethod and the like: what they wrap.
            inner = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            if isinstance(inner, FunctionType):
                yield from _names_in_code(inner.__code__)


def _names_in_code(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in_code(constant)
