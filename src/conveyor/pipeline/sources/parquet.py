"""read_parquet: the record batches, or the rows, of Parquet files, as a source that knows its places."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..files.location import Location
from ..files.optional import need
from ..files.reading import Reading
from .file_items import FileItems

__all__ = ["ParquetBatches", "read_parquet"]

_BATCH = 65_536


class ParquetBatches(FileItems[Any]):
    """What `read_parquet` returns: iterable any number of times.

    Args:
        given, columns, batch_size, rows: as for `read_parquet`.

    Raises:
        TypeError, ValueError: one of them is not as it says there.
        ImportError: pyarrow is not installed.
    """

    function = "read_parquet"
    noun = "data"

    def __init__(self, given: Any, columns: Sequence[str] | None, batch_size: int, rows: bool) -> None:
        if isinstance(columns, str):
            raise TypeError(f"columns of read_parquet() is {columns!r}; it must be a list of names")
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"batch_size of read_parquet() is {batch_size!r}; it must be an integer above 0")
        need("pyarrow.parquet", "arrow", "read_parquet()")
        self._columns = None if columns is None else list(columns)
        self._batch_size = batch_size
        self._rows = rows
        super().__init__(
            given, f", columns {columns}, rows" if rows else f", columns {columns}, by {batch_size}"
        )
        if any(location.is_stdin for location in self.locations):
            raise ValueError(
                "read_parquet() cannot read standard input: the end of a Parquet file is read first"
            )

    @property
    def waits(self) -> bool:
        """It does: a batch takes long to decode, and other threads can work meanwhile."""
        return True

    def _items(self, location: Location, reading: Reading) -> Iterator[Any]:
        parquet = need("pyarrow.parquet", "arrow", "read_parquet()")
        with contextlib.ExitStack() as closing:
            given: Any = str(location.path)
            if location.path is None:
                given = closing.enter_context(location.open())
            try:
                file = closing.enter_context(parquet.ParquetFile(given))
                if self._columns is not None:
                    self._check_columns(file.schema_arrow.names, location)
                size, count = reading.size_of(location) or 0, file.metadata.num_rows or 1
                done = 0
                closing.enter_context(reading.measured(location, lambda: size * done // count))
                for batch in file.iter_batches(self._batch_size, columns=self._columns):
                    if self._rows:
                        yield from batch.to_pylist()
                    else:
                        yield batch
                    done += batch.num_rows
            except (ValueError, OSError) as error:  # pyarrow's own are among them
                error.add_note(f"in {location.shown}")
                raise

    def _check_columns(self, there: list[str], location: Location) -> None:
        assert self._columns is not None
        for name in self._columns:
            if name.partition(".")[0] not in there and name not in there:
                raise ValueError(
                    f"{location.shown} has no column {name!r}, which columns names; it has {there}"
                )


def read_parquet(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    columns: Sequence[str] | None = None,
    batch_size: int = _BATCH,
    rows: bool = False,
) -> ParquetBatches:
    """The record batches of Parquet files, read as they are wanted. Needs pyarrow (extra `arrow`).

    A batch goes to a worker through shared memory, and is read there where it lies.

    Args:
        path: as for `read_lines`, but for standard input and compressed files: Parquet compresses by itself.
        columns: their names; None: all.
        batch_size: rows of a `pyarrow.RecordBatch`; the last of a file has fewer.
        rows: each row is an item, as a dict, in the place of batches.

    Raises:
        OSError: as of `read_lines`.
        TypeError, ValueError: an argument is not as above.
        ImportError: pyarrow, or what reads that kind of URL, is not installed.
    """
    return ParquetBatches(path, columns, batch_size, rows)
