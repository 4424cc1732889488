"""Option: how an argument of a verb is written on the command line, said without importing what parses it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from .exit_codes import CommandError

__all__ = ["Option", "for_cyclopts", "option_of", "read_option"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """Stands in `Annotated[...]` beside the type of an argument."""

    names: tuple[str, ...]
    """As they are typed, the long one first: `("--delay", "-d")`; of an argument without one, what help calls it."""
    negative: str = ""
    """What says no; empty: nothing does."""


def option_of(name: str, hint: Any) -> tuple[Any, Option]:
    """The type of an argument, and how it is written: if nothing else is said, `--name`."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        for extra in extras:
            if isinstance(extra, Option):
                return kind, extra
    return hint, Option((f"--{name.replace('_', '-')}",))


def for_cyclopts(verb: Callable[..., int]) -> Callable[..., int]:
    """The verb, with its options said as cyclopts understands them."""
    from cyclopts import Parameter

    @functools.wraps(verb)
    def call(*args: Any, **kwargs: Any) -> int:
        return verb(*args, **kwargs)

    hints = get_type_hints(verb, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb).parameters.values():
        kind, option = option_of(parameter.name, hints[parameter.name])
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            kind = Annotated[kind, Parameter(name=option.names, negative=option.negative)]
        elif not option.names[0].startswith("--"):
            kind = Annotated[kind, Parameter(name=option.names, show_env_var=False)]
        parameters.append(parameter.replace(annotation=kind))
    call.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    del call.__wrapped__
    return call


def read_option(name: str, text: str, reading: Callable[[str], T]) -> T:
    """What the text of an option stands for.

    Args:
        name: the option, as in `--jobs`.
        text: what the user gave.
        reading: makes a value of it; a `ValueError` of its begins with the text.

    Raises:
        CommandError: that is no text for this option.
    """
    try:
        return reading(text)
    except ValueError as error:
        raise CommandError(f"{name} is {error}") from None
