"""SharedArray: a NumPy array in shared memory, or in a file that stays."""

from __future__ import annotations

import ast
import math
import os
import struct
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from .._memory.labels import mark
from .._memory.references import RegionReference, forget_received, reference_to_region
from .._native import Region, enter_locked, leave_locked
from .._public import public
from ..errors import CorruptSegment
from .locks import RLock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

__all__ = ["SharedArray"]

# The payload of a region of kind `array`: the cell of a lock at 64, what the array is at 128, the array at 4096.
_LOCK = 64
_DESCRIPTION = 128
_DATA = 4096
_LONGEST = _DATA - _DESCRIPTION - 4
_RLOCK_CELL = struct.pack("<II", 2, 64)  # CellHead in core/include/conveyor/sync/cells_layout.hpp: type, size


@public
class SharedArray:
    """An array that all processes see, with no copy anywhere; it goes to any process, by any way.

    `array` is the NumPy array itself; `numpy.asarray(shared)`, `shared[...]` and `shared[...] = ...` mean the same.
    The memory lives as long as any process has a handle to it, or any view of the array. Processes that write the
    same elements must agree who does when: by `with shared:`, if it was made with `lock=True`, which holds a lock
    that survives its holder's death (`recovered` says so), or by any other means.

    With `path` the array is a file mapped into memory. It stays when all have gone, and the same call opens it again.
    """

    array: NDArray[Any]
    """The array, on the shared memory."""

    def __init__(
        self,
        shape: int | tuple[int, ...],
        dtype: DTypeLike = float,
        *,
        lock: bool = False,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """A new array, all zero; or the one in the file at `path`, if that exists.

        Args:
            shape: as of `numpy.zeros`.
            dtype: of the elements; no Python objects.
            lock: make it a context manager that holds a lock.
            path: a file, made with all its space reserved if it does not exist. Put nothing there that others may cut
                short while it is in use.

        Raises:
            ValueError: shape or dtype cannot be; or the file has another shape or dtype, which the text tells.
            WrongKind, CorruptSegment: the file is no shared array of conveyor's.
            OutOfMemory: no memory, or no space.
        """
        import numpy

        wanted = (shape,) if isinstance(shape, int) else tuple(int(length) for length in shape)
        kind = numpy.dtype(dtype)
        if any(length < 0 for length in wanted):
            raise ValueError(f"shape is {shape}; no length may be negative")
        if kind.hasobject:
            raise ValueError(f"dtype is {kind}; Python objects cannot lie in shared memory")
        size = math.prod(wanted) * kind.itemsize
        forget_received()
        self._has_lock = lock
        if path is None:
            region = mark(Region.create("array", _DATA + size))
            region.reserve(0, _DATA + size)
            _describe(region, wanted, kind)
        else:
            region = _file(os.path.abspath(path), wanted, kind, _DATA + size)  # noqa: PTH100  (no links resolved)
        self._attach(region)
        if (self.array.shape, self.array.dtype) != (wanted, kind):
            raise ValueError(
                f"{os.fspath(cast('Any', path))!r} has an array of shape {self.array.shape} and dtype "
                f"{self.array.dtype}; asked for were {wanted} and {kind}"
            )

    def _attach(self, region: Region) -> None:
        import numpy

        shape, kind = _description(region)
        self.array = numpy.ndarray(shape, kind, buffer=cast("Any", memoryview(region)), offset=_DATA)
        self._region = region
        self._lock = RLock._at(region, _LOCK) if self._has_lock else None  # pyright: ignore[reportPrivateUsage]

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the array."""
        return self.array.dtype

    @property
    def path(self) -> str | None:
        """The file, if it is in one."""
        return self._region.path or None

    @property
    def recovered(self) -> bool:
        """Whether the last `with` block took the lock from a process that died inside one."""
        return self.get_lock().recovered

    def get_lock(self) -> RLock:
        """The array's lock: what `with` takes.

        Raises:
            ValueError: it was made without.
        """
        if self._lock is None:
            raise ValueError("this array has no lock: it was made without lock=True")
        return self._lock

    def flush(self) -> None:
        """Write what was changed to the file's disk; without a file there is nothing to do.

        Raises:
            OSError: the disk would not take it.
        """
        if self._region.path:
            self._region.flush()

    def _to_enter(self) -> tuple[RLock, NDArray[Any]]:
        return self.get_lock(), self.array

    if TYPE_CHECKING:

        def __enter__(self) -> NDArray[Any]: ...
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

    else:
        __enter__ = enter_locked
        __exit__ = leave_locked

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy

        if dtype is None or numpy.dtype(dtype) == self.array.dtype:
            return self.array.copy() if copy else self.array
        if copy is False:
            raise ValueError(f"an array of dtype {self.array.dtype} cannot become {dtype} without a copy")
        return self.array.astype(dtype)

    def __getitem__(self, key: Any) -> Any:
        return self.array[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[key] = value

    def __len__(self) -> int:
        return len(self.array)

    def __getstate__(self) -> tuple[Any, ...]:
        return (reference_to_region(self._region), self._has_lock)

    def __setstate__(self, state: tuple[RegionReference, bool]) -> None:
        reference, self._has_lock = state
        self._attach(reference.open())

    def __del__(self) -> None:
        forget_received()  # of which this may be one: it need not wait for the next

    def __repr__(self) -> str:
        where = f", path={self.path!r}" if self.path else ""
        return f"<{type(self).__name__}({self.shape}, {self.dtype}{where})>"


def _file(path: str, shape: tuple[int, ...], kind: np.dtype[Any], size: int) -> Region:
    while True:
        try:
            region = Region.open_file(path, "array")
        except FileNotFoundError:
            pass
        else:
            if region.was_alone:
                view = memoryview(region)
                # The holder of the lock there has gone with its system, or will not be missed.
                view[_LOCK : _LOCK + 64] = _RLOCK_CELL.ljust(64, b"\0")
                if region.size == size and not any(view[_DESCRIPTION:_DATA]):
                    _describe(region, shape, kind)  # its maker died before it could
                region.let_others_in()
            return region
        try:
            region = Region.create_file(path, "array", size)
        except FileExistsError:
            continue  # somebody else made it in between
        _describe(region, shape, kind)
        region.let_others_in()
        return region


def _describe(region: Region, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    import numpy

    text = repr((shape, numpy.lib.format.dtype_to_descr(kind))).encode()
    if len(text) > _LONGEST:
        raise ValueError(f"dtype is too long to be written down: {len(text)} bytes, of at most {_LONGEST}")
    view = memoryview(region)
    view[_LOCK : _LOCK + 8] = _RLOCK_CELL
    view[_DESCRIPTION + 4 : _DESCRIPTION + 4 + len(text)] = text
    # Last: without it, nothing there is an array.
    view[_DESCRIPTION : _DESCRIPTION + 4] = struct.pack("<I", len(text))


def _description(region: Region) -> tuple[tuple[int, ...], np.dtype[Any]]:
    import numpy

    view = memoryview(region)
    try:
        (length,) = struct.unpack("<I", view[_DESCRIPTION : _DESCRIPTION + 4])
        if not 0 < length <= _LONGEST:
            raise ValueError("no description")
        shape, described = ast.literal_eval(
            bytes(view[_DESCRIPTION + 4 : _DESCRIPTION + 4 + length]).decode()
        )
        kind: Any = numpy.lib.format.descr_to_dtype(described)
        if (
            kind.hasobject
            or _DATA + math.prod(shape) * kind.itemsize > region.size
            or min(shape, default=0) < 0
        ):
            raise ValueError("it does not fit")
    except (ValueError, TypeError, SyntaxError, struct.error) as error:
        raise CorruptSegment(f"not a sound shared array: {error}") from None
    return tuple(int(part) for part in shape), kind
