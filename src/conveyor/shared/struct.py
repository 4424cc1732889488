"""SharedStruct: a record of several fields that all processes see."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._memory.references import RegionReference, forget_received, reference_to_region
from .._native import RecordBase, Region, enter_locked, leave_changed
from .._public import public
from ._number_types import code_of
from ._wait import wait_until
from .locks import RLock

__all__ = ["SharedStruct"]

R = TypeVar("R")


@public
class SharedStruct:
    """A ctypes structure or a NumPy record in shared memory; it goes to any process, by any way.

    `record` is the structure itself, on the shared memory. Its fields are attributes here, too: `s.x = 1` tells those
    that wait, `s.record.x = 1` does not. One number field is changed in one step by `add`, `exchange` and
    `compare_exchange`. Several belong in a `with s:` block: it holds the record's lock, which survives its holder's
    death; `s.recovered` then says that the fields may be half-changed.
    """

    _memory: RecordBase
    _kind: Any
    _lock: RLock
    record: Any

    def __init__(self, kind: Any, **fields: Any) -> None:
        """A new record, all zero but for the fields given.

        Args:
            kind: a subclass of `ctypes.Structure`, or a structured NumPy dtype.
            fields: what fields begin with.

        Raises:
            TypeError: kind is something else, or has Python objects in it; or there is no such field.
            OutOfMemory: no memory for it.
        """
        forget_received()
        self._attach(kind, None)
        for name, value in fields.items():
            if name not in self._places():
                raise TypeError(f"there is no field {name!r}; the fields are {', '.join(self._places())}")
            setattr(self.record, name, value) if _is_ctypes(kind) else self.record.__setitem__(name, value)

    def _attach(self, kind: Any, place: tuple[Region, int] | None) -> None:
        size = _size_of(kind)
        memory = RecordBase(size) if place is None else RecordBase(size, *place)
        lock = RLock._at(memory._region, memory._lock_offset)  # pyright: ignore[reportPrivateUsage]
        if _is_ctypes(kind):
            record = kind.from_buffer(memory)
        else:
            import numpy

            record = numpy.ndarray((), kind, buffer=cast("Any", memory))
        vars(self).update(_memory=memory, _kind=kind, _lock=lock, record=record)

    def _places(self) -> dict[str, tuple[Any, int]]:
        """The type and the offset of each field."""
        if _is_ctypes(self._kind):
            return {
                each[0]: (each[1], getattr(self._kind, each[0]).offset)
                for each in getattr(self._kind, "_fields_", ())
                if len(each) == 2  # no bit fields
            }
        return {name: place[:2] for name, place in self._kind.fields.items()}

    def _number(self, name: str) -> tuple[str, int]:
        places = self._places()
        if name not in places:
            raise AttributeError(f"there is no field {name!r}; the fields are {', '.join(places)}")
        kind, offset = places[name]
        return code_of(kind), offset

    def add(self, field: str, amount: Any = 1) -> Any:
        """Add to a number field in one step; its new value.

        Raises:
            AttributeError: there is no such field.
            TypeError: it is no number.
            OverflowError: the sum does not fit; nothing was changed.
        """
        return self._memory._add(*self._number(field), amount)  # pyright: ignore[reportPrivateUsage]

    def exchange(self, field: str, value: Any) -> Any:
        """Set a number field in one step; its value before."""
        return self._memory._exchange(*self._number(field), value)  # pyright: ignore[reportPrivateUsage]

    def compare_exchange(self, field: str, expected: Any, value: Any) -> bool:
        """Set a number field if it equals `expected`, in one step; whether it did."""
        return self._memory._compare_exchange(*self._number(field), expected, value)  # pyright: ignore

    def wait_for(self, predicate: Callable[[Any], R], timeout: float | None = None) -> R:
        """Wait until `predicate(self)` is true, and return what it returned last.

        Args:
            predicate: called at once, after each change of a field through this class, and when a `with` block ends.
            timeout: seconds, after which what it returned is returned, though it is not true; None: for ever.
        """
        return wait_until(self._memory, lambda: predicate(self), timeout)

    def get_lock(self) -> RLock:
        """The record's lock: what `with` takes."""
        return self._lock

    @property
    def recovered(self) -> bool:
        """Whether the last `with` block took the lock from a process that died inside one."""
        return self._lock.recovered

    def _to_enter(self) -> tuple[RLock, SharedStruct]:
        return self._lock, self

    if TYPE_CHECKING:

        def __enter__(self) -> SharedStruct: ...
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

    else:
        __enter__ = enter_locked
        __exit__ = leave_changed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_kind" not in vars(self) or name not in self._places():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if _is_ctypes(self._kind):
            return getattr(self.record, name)
        value = self.record[name]
        return value.item() if value.ndim == 0 and value.dtype.names is None else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._places():
            raise AttributeError(f"there is no field {name!r}; the fields are {', '.join(self._places())}")
        if _is_ctypes(self._kind):
            setattr(self.record, name, value)
        else:
            self.record[name] = value
        self._memory._notify()  # pyright: ignore[reportPrivateUsage]

    def __getstate__(self) -> tuple[Any, ...]:
        memory = self._memory
        return (self._kind, reference_to_region(memory._region), memory._offset)  # pyright: ignore

    def __setstate__(self, state: tuple[Any, RegionReference, int]) -> None:
        kind, reference, offset = state
        self._attach(kind, (reference.open(), offset))

    def __copy__(self) -> SharedStruct:
        return self  # a copy would stand for the very same record

    def __deepcopy__(self, memo: Any) -> SharedStruct:
        return self

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._places())
        return f"<{type(self).__name__}({fields})>"


def _is_ctypes(kind: Any) -> bool:
    return isinstance(kind, type)


def _size_of(kind: Any) -> int:
    if isinstance(kind, type):
        import ctypes

        if issubclass(kind, ctypes.Structure):
            return ctypes.sizeof(kind)
    elif getattr(kind, "names", None) and hasattr(kind, "itemsize"):
        if kind.hasobject:
            raise TypeError(f"kind is {kind!r}; Python objects cannot lie in shared memory")
        return int(kind.itemsize)
    raise TypeError(
        f"kind is {kind!r}; it must be a subclass of ctypes.Structure or a structured NumPy dtype"
    )
