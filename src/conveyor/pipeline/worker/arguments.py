"""Arguments: what a function is called with beside, or in the place of, the item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Arguments"]


@dataclass(frozen=True)
class Arguments:
    """How items become arguments. It travels with the function: once to each worker."""

    args: tuple[Any, ...] = ()
    """Behind what comes of the item."""
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    """By name."""
    unpack: bool = False
    """The item is several arguments: a dict of them by name, or any other iterable of them by place."""

    def bind(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """What is called with an item, and calls the function with these arguments."""
        args, kwargs = self.args, self.kwargs

        def call(item: Any) -> Any:
            return function(item, *args, **kwargs)

        def call_unpacked(item: Any) -> Any:
            if type(item) is tuple:
                return function(*item, *args, **kwargs)
            if isinstance(item, Mapping):
                return function(*args, **item, **kwargs)
            if isinstance(item, (str, bytes)) or not isinstance(item, Iterable):
                raise TypeError(
                    f"the item {item!r:.60}, a {type(item).__name__}, is to be unpacked into the arguments of "
                    f"{getattr(function, '__name__', type(function).__name__)}(); it must be a tuple, another iterable "
                    "of arguments, or a dict of them by name"
                )
            return function(*item, *args, **kwargs)

        return call_unpacked if self.unpack else call
