"""How large frames of polars become pickles whose buffers go beside them: as Arrow tables, where pyarrow is installed.

Arrow has most of polars' types as polars has them. A column that it has not, or of which it would send much more than
there is to see, goes as polars' own pickling has it, and so does a frame that is small: a column costs some
microseconds as Arrow, whatever its length. What does not come along is the hint `FAST_EXPLODE` of a column of lists.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .._native import place_of_item

__all__ = ["reducer_of"]

# Any: type checkers pass over this file where polars is not installed, too.
_polars: Any = importlib.import_module("polars")

# In bytes, of a frame and of its columns on average: from here on Arrow is faster.
_LEAST, _LEAST_COLUMN = 256 * 1024, 128 * 1024
# Each element has its place, so that slices go as slices; and the types come back as they are.
_FLAT = {
    *(_polars.Int8, _polars.Int16, _polars.Int32, _polars.Int64),
    *(_polars.UInt8, _polars.UInt16, _polars.UInt32, _polars.UInt64),
    *(_polars.Float32, _polars.Float64, _polars.Boolean),
    *(_polars.Date, _polars.Time, _polars.Datetime, _polars.Duration),
}
# Of polars' strings: a length with the first bytes, or with where the text is.
_VIEW = 16


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """The reducer for frames or series; None: that is another type of polars', or there is no pyarrow."""
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        return None
    if not hasattr(_polars, "CompatLevel"):
        return None  # an older polars
    return {_polars.DataFrame: _reduce_frame, _polars.Series: _reduce_series}.get(kind)


def _reduce_frame(frame: Any) -> Any:
    if not _is_large(frame, frame.width):
        return frame.__reduce_ex__(5)
    columns = frame.get_columns()
    others = [(place, column) for place, column in enumerate(columns) if not _fits(column)]
    if len(others) == len(columns):
        return frame.__reduce_ex__(5)
    left_out = {place for place, _ in others}
    fitting = _polars.DataFrame([column for place, column in enumerate(columns) if place not in left_out])
    return _frame_of, (_table_of(fitting), others, _orders_of(fitting))


def _reduce_series(series: Any) -> Any:
    if not _is_large(series, 1) or not _fits(series):
        return series.__reduce_ex__(5)
    frame = series.to_frame()
    return _series_of, (_table_of(frame), _orders_of(frame))


def _is_large(shown: Any, columns: int) -> bool:
    if place_of_item() == "bytes":
        return False  # nothing goes beside a pickle there
    return bool(shown.estimated_size() >= max(_LEAST, _LEAST_COLUMN * columns))


def _fits(series: Any) -> bool:
    if series.dtype.base_type() in _FLAT:
        return True
    try:
        table = _table_of(series.to_frame())
        back = _polars.from_arrow(table.slice(0, 0)).to_series()
    except Exception:  # each type has its own error
        return False
    needed = series.estimated_size() + len(series) * _VIEW
    return bool(back.dtype == series.dtype and table.get_total_buffer_size() <= 2 * needed)


def _table_of(frame: Any) -> Any:
    return frame.to_arrow(compat_level=_polars.CompatLevel.newest())


def _orders_of(frame: Any) -> list[tuple[int, bool]]:
    """Which columns are known to be sorted, and whether they descend."""
    found: list[tuple[int, bool]] = []
    for place, column in enumerate(frame.get_columns()):
        flags = column.flags
        if flags["SORTED_ASC"] or flags["SORTED_DESC"]:
            found.append((place, flags["SORTED_DESC"]))
    return found


# Nothing here makes a query of polars': its threads and descriptors are for the program to begin with.


def _frame_of(table: Any, others: list[tuple[int, Any]], orders: list[tuple[int, bool]]) -> Any:
    frame = _polars.from_arrow(table, rechunk=False)
    for place, descending in orders:
        frame.replace_column(place, frame.to_series(place).set_sorted(descending=descending))
    for place, column in others:
        frame.insert_column(place, column)
    return frame


def _series_of(table: Any, orders: list[tuple[int, bool]]) -> Any:
    return _frame_of(table, [], orders).to_series()
