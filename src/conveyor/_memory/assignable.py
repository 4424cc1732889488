"""assignable: a computed attribute that an object may also be given, as any attribute of a Python class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ["assignable"]

T = TypeVar("T")


class assignable(Generic[T]):  # noqa: N801 - a decorator, as `property` is
    """`property`, but for assignment: what was assigned is the object's own, and hides what would be computed.

    Args:
        compute: of the object; called at each access, until the object has an attribute of that name.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type, /) -> T: ...
    def __get__(self, instance: object | None, owner: type, /) -> Self | T:
        return self if instance is None else self._compute(instance)
