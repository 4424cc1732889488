"""SharedValue: one number that all processes see, and change in one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .._memory.references import RegionReference, forget_received, reference_to_region
from .._native import NumberBase
from .._public import public
from ._number_types import code_of
from ._wait import wait_until
from .locks import RLock

__all__ = ["SharedValue"]

R = TypeVar("R")


@public
class SharedValue(NumberBase):
    """An integer, float or bool in shared memory; it goes to any process, by any way.

    `add`, `exchange` and `compare_exchange` are done in one step, and need no lock: no other process can come in
    between, and one that dies has done it or has not. Nothing wraps around: what does not fit is an OverflowError.
    """

    def __init__(self, kind: Any = int, value: Any = 0) -> None:
        """A new number.

        Args:
            kind: a type code of `array` or `struct` (`? b B h H i I l L q Q f d`), a ctypes type, a NumPy dtype, or
                `bool`, `int` (64 bits) or `float`.
            value: in the beginning.

        Raises:
            TypeError: no such number can be shared.
            OverflowError: value does not fit.
            OutOfMemory: no memory for it.
        """
        forget_received()
        NumberBase.__init__(self, code_of(kind))
        if value != 0:
            self.value = value

    def __getstate__(self) -> tuple[Any, ...]:
        return (self._code, reference_to_region(self._region), self._offset)

    def __setstate__(self, state: tuple[str, RegionReference, int]) -> None:
        code, reference, offset = state
        NumberBase.__init__(self, code, reference.open(), offset)

    def get_lock(self) -> RLock:
        """The number's own lock, for those who do more than one thing with it; `add` and its kin do not mind it."""
        return RLock._at(self._region, self._lock_offset)  # pyright: ignore[reportPrivateUsage]

    def wait_for(self, predicate: Callable[[Any], R], timeout: float | None = None) -> R:
        """Wait until `predicate(value)` is true, and return what it returned last.

        Args:
            predicate: called at once and after each change that anybody makes.
            timeout: seconds, after which what it returned is returned, though it is not true; None: for ever.
        """
        return wait_until(self, lambda: predicate(self.value), timeout)

    def __copy__(self) -> SharedValue:
        return self  # a copy would stand for the very same number

    def __deepcopy__(self, memo: Any) -> SharedValue:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._code!r}, {self.value!r})>"
