"""StageOptions: what `map` and the like may be told of a stage beside its function."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

from ..base.failure import Failure

__all__ = ["OnError", "StageKeywords", "StageOptions", "options_from", "shows_options"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

OnError: TypeAlias = "Literal['stop', 'skip', 'dead_letter', 'yield'] | Callable[[Failure], object]"


@dataclass(frozen=True)
class StageOptions:
    """The options of a stage, as they were given; `Pipeline.map` says what they mean.

    A new one is a field here, the same in `StageKeywords`, a check in `options.py`, and a line in `Pipeline.map`.
    Whoever has the `Stage` has the field, too.
    """

    workers: int | Literal["auto"] | None = None
    threads: int | None = None
    concurrency: int | None = None
    ordered: bool | None = None
    key: Callable[[Any], Any] | None = None
    retries: int = 0
    backoff: float = 1.0
    timeout: float | None = None
    setup_timeout: float | None = None
    teardown_timeout: float | None = None
    on_error: OnError = "stop"
    name: str | None = None
    executor: Any = None
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    unpack: bool = False
    initializer: Callable[..., Any] | None = None
    max_items_per_worker: int | None = None
    max_worker_memory: int | str | None = None
    inline: bool = False
    blas_threads: int | Literal["any"] | None = None
    max_in_flight: int | str | None = None

    def given(self) -> list[str]:
        """The names of those that are not as they are when nobody says anything."""
        return [
            field.name
            for field in dataclasses.fields(StageOptions)
            if (value := getattr(self, field.name)) is not field.default
            and (type(value) is not type(field.default) or value != field.default)
        ]


class StageKeywords(TypedDict, total=False):
    """The same, as a type checker needs it to know the keywords of `map`, `filter` and `flat_map`."""

    workers: int | Literal["auto"] | None
    threads: int | None
    concurrency: int | None
    ordered: bool | None
    key: Callable[[Any], Any] | None
    retries: int
    backoff: float
    timeout: float | None
    setup_timeout: float | None
    teardown_timeout: float | None
    on_error: OnError
    name: str | None
    executor: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    unpack: bool
    initializer: Callable[..., Any] | None
    max_items_per_worker: int | None
    max_worker_memory: int | str | None
    inline: bool
    blas_threads: int | Literal["any"] | None
    max_in_flight: int | str | None


def options_from(method: str, keywords: StageKeywords) -> StageOptions:
    """The options that a method of `Pipeline` was given.

    Raises:
        TypeError: one of them is none.
    """
    for word in keywords:
        if word not in StageOptions.__dataclass_fields__:
            raise TypeError(f"{method}() got an unexpected keyword argument {word!r}; see help(Pipeline.map)")
    return StageOptions(**keywords)


def shows_options(method: _Method) -> _Method:
    """Have a method that takes `StageKeywords` show each of them in its signature, for `help` and editors."""
    own = inspect.signature(method)
    kept = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    shown = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field in dataclasses.fields(StageOptions)
    ]
    method.__signature__ = own.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined]
    return method
