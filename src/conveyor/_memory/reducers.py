"""How arrays and memoryviews become pickles whose bytes go beside them, so that nothing is copied twice."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from importlib.machinery import PathFinder
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

# Like the rest, before an item is taken: a process that has dropped its privileges may be kept from its modules.
from . import descriptor_server as descriptor_server

if TYPE_CHECKING:
    import numpy

_LIBRARY = os.path.split(os.__file__)[0]

__all__ = ["TABLE", "import_uuid", "in_place_of", "late_reducer"]


def import_uuid() -> None:
    """Import `uuid`, for UUIDs in items, unless the name is taken by a module of the program's."""
    spec = PathFinder.find_spec("uuid")
    if spec is not None and spec.origin and os.path.split(spec.origin)[0] == _LIBRARY:
        importlib.import_module("uuid")


def _memoryview_of(buffer: Any, format_: Any, shape: tuple[int, ...]) -> memoryview[Any]:
    view = memoryview(buffer)
    if format_ == "B" and shape == (view.nbytes,):
        return view
    shaped: memoryview[Any] = view.cast("B").cast(format_, shape)
    return shaped


def _reduce_memoryview(view: memoryview[Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    # A copy in C order, if it is not one: as memoryview.tobytes has it.
    if view.ndim != 1 or view.format != "B":
        try:
            cast: Any = memoryview(bytes(view.itemsize)).cast
            cast(view.format)
        except ValueError:
            raise TypeError(
                f"cannot put a memoryview of format {view.format!r}: it must be a single native character; "
                "put the array that it shows, or view.cast('B')"
            ) from None
        if view.nbytes == 0:
            raise TypeError("cannot put an empty memoryview of more than one dimension; put bytes()")
    source = view if view.c_contiguous else memoryview(bytearray(view.tobytes())).cast("B")
    return _memoryview_of, (PickleBuffer(source), view.format, view.shape)


TABLE: dict[type, Callable[[Any], Any]] = {memoryview: _reduce_memoryview}


def late_reducer(kind: type) -> Callable[[Any], Any] | None:
    """The reducer for a type of a package that is not imported for our sake, now that an object of it comes by.

    Native code asks for types that have one of a few names, and once for each that gets a reducer.
    """
    package = getattr(kind, "__module__", None)
    if not isinstance(package, str):
        return None
    module = _MAKERS.get((package.partition(".")[0], kind.__name__)) or _MAKERS_OF_ALL.get(package)
    if module is None:
        return None
    make: Callable[[type], Callable[[Any], Any] | None] = (
        _reducer_of_arrays if module == __name__ else importlib.import_module(module, __package__).reducer_of
    )
    made = make(kind)
    if made is not None:
        TABLE[kind] = made
    return made


# By package and name of a type. The names stand in pickling.cpp, too, and so does the module below.
_MAKERS = {
    ("numpy", "ndarray"): __name__,
    ("jaxlib", "ArrayImpl"): ".jax_arrays",
    ("polars", "DataFrame"): ".polars_frames",
    ("polars", "Series"): ".polars_frames",
    ("multiprocessing", "DupFd"): ".served_descriptors",
}
# By module, of all types there.
_MAKERS_OF_ALL = {"pyarrow.lib": ".arrow_slices"}


def _reducer_of_arrays(kind: type) -> Callable[[Any], Any] | None:
    import numpy

    if kind is not numpy.ndarray:
        return None

    def transposed_only(array: numpy.ndarray[Any, Any]) -> bool:
        # NumPy from 2.3 keeps the order of the axes, and copies nothing either.
        axes = sorted(range(array.ndim), key=array.strides.__getitem__, reverse=True)
        return array.transpose(axes).flags.c_contiguous

    def reduce(array: numpy.ndarray[Any, Any]) -> Any:
        dtype = array.dtype
        flags = array.flags
        if dtype.hasobject or dtype.itemsize == 0 or type(dtype).__module__ != "numpy.dtypes":
            return array.__reduce_ex__(5)
        if not flags.forc and not transposed_only(array):
            array = array.copy("C")  # as NumPy's own pickle has it
            flags = array.flags
        if dtype.kind not in "mMV" or not flags.forc:
            return array.__reduce_ex__(5)
        # Dates have no buffer protocol; their bytes do.
        order: Any = "C" if flags.c_contiguous else "F"
        bytes_: Any = array.reshape(-1, order=order).view(numpy.uint8)
        return _array_of, (PickleBuffer(bytes_), dtype, array.shape, order)

    return reduce


def in_place_of(reducer: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    """What does the work of a reducer that is registered with multiprocessing, for our queues alone; None: it does.

    Torch's put handles into items: of memory that can be had once, while the sender lives.
    """
    if reducer.__module__ != "torch.multiprocessing.reductions":
        return None
    from . import tensors

    return tensors.REDUCERS.get(reducer)


def _array_of(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    import numpy

    return numpy.frombuffer(buffer, dtype).reshape(shape, order=order)
