"""ParquetSink: writes rows, or tables, to a Parquet file."""

from __future__ import annotations

import contextlib
from typing import Any

from ...errors import PipelineError
from ..files.beginning import Beginning
from ..files.make_output import make_output
from ..files.optional import need
from ..files.target import Target
from .rows import as_fields
from .sink import PlainSink

__all__ = ["ParquetSink"]

_GROUP = 65_536


class _Stream:
    """The file, as pyarrow wants it."""

    closed = False

    def __init__(self, output: Any) -> None:
        self.write = output.write
        self.tell = output.tell

    def flush(self) -> None:
        """Later."""

    def close(self) -> None:
        """It is the sink's."""

    def readable(self) -> bool:
        """It is not."""
        return False

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is not."""
        return False


class ParquetSink(PlainSink):
    """Writes rows (dicts, dataclasses, named tuples), tables and record batches of pyarrow, frames of pandas or polars.

    The schema is that of the first table, or what the first row group's rows show.

    Args:
        target: the file.
        beginning: how.

    Raises:
        OSError, ImportError, TypeError, ValueError: it cannot be written.
        PipelineError: it is not to be gone on with: the end of a Parquet file says where everything in it lies.
    """

    def __init__(self, target: Target, beginning: Beginning) -> None:
        self._arrow = need("pyarrow", "arrow", f"writing {target.shown!r}")
        self._parquet = need("pyarrow.parquet", "arrow", f"writing {target.shown!r}")
        if beginning.resumable or beginning.appends:
            why = (
                "resume cannot go on with"
                if beginning.resumable
                else "items that are acknowledged cannot be appended to"
            )
            raise PipelineError(
                f"{why} {target.shown!r}: what a Parquet file holds is said at its end, so that none that was cut "
                "off can be read; write to .jsonl or to a table (sqlite:///file.db?table=name), and convert that"
            )
        options = target.options
        self._size = options.get("row_group_size", _GROUP)
        if not isinstance(self._size, int) or isinstance(self._size, bool) or self._size < 1:
            raise ValueError(f"row_group_size of to() is {self._size!r}; it must be an integer above 0")
        self._schema: Any = options.get("schema")
        if self._schema is not None and not isinstance(self._schema, self._arrow.Schema):
            raise TypeError(f"schema of to() is {self._schema!r:.80}; it must be a pyarrow.Schema")
        self._is_said = self._schema is not None
        self._compression: Any = options.get("compression", "snappy")
        self._shown = target.shown
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None
        self._output = make_output(target, beginning)
        self.partial: str | None = None

    def take(self, values: list[Any]) -> int:
        """Take all."""
        for value in values:
            fields = as_fields(value)
            if fields is not None:
                self._take_row(value, dict(fields))
            else:
                self._write_rows()
                self._write(self._as_table(value))
        return len(values)

    def _take_row(self, item: Any, row: dict[str, Any]) -> None:
        if self._schema is not None or self._rows:
            columns = self._schema.names if self._schema is not None else [*self._rows[0]]
            wrong = [name for name in row if name not in columns] or (
                []
                if self._is_said or len(row) == len(columns)
                else [name for name in columns if name not in row]
            )
            if wrong:
                what = "is not among" if wrong[0] in row else "is missing, of"
                raise ValueError(
                    f"{item!r:.80} cannot be written to {self._shown!r}: {wrong[0]!r} {what} the columns, {columns}; "
                    "say what they are by schema=pyarrow.schema(...)"
                )
        self._rows.append(row)
        if len(self._rows) >= self._size:
            self._write_rows()

    def _write_rows(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._write(self._table_of(rows))

    def _table_of(self, rows: list[dict[str, Any]]) -> Any:
        make = self._arrow.Table.from_pylist
        try:
            return make(rows, schema=self._schema)
        except (ValueError, TypeError, OverflowError):  # pyarrow's own are among them
            before: list[dict[str, Any]] = []
            for row in rows:
                before.append(row)
                try:
                    # Without a schema a row does not fit what those before it show.
                    make([row] if self._schema is not None else before, schema=self._schema)
                except (ValueError, TypeError, OverflowError) as error:
                    raise ValueError(
                        f"{row!r:.200} cannot be written to {self._shown!r}: {error}; "
                        "say what the columns are by schema=pyarrow.schema(...)"
                    ) from error
                if self._schema is None and len(before) > 1:
                    before = before[-1:] if _shows_all(before[-1]) else before
            raise

    def _as_table(self, value: Any) -> Any:
        arrow = self._arrow
        if isinstance(value, arrow.Table):
            return value
        if isinstance(value, arrow.RecordBatch):
            return arrow.Table.from_batches([value])
        if type(value).__module__.partition(".")[0] == "pandas":
            return arrow.Table.from_pandas(value, preserve_index=False)
        if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
            return arrow.table(value)
        raise TypeError(
            f"{value!r:.80}, a {type(value).__name__}, cannot be written to {self._shown!r}; give dicts, "
            "dataclasses, named tuples, or tables, record batches or frames"
        )

    def _write(self, table: Any) -> None:
        if self._schema is None:
            self._schema = table.schema
        elif table.schema != self._schema:
            try:
                table = table.select(self._schema.names).cast(self._schema)
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"a table with the columns {table.schema.names} cannot be written to {self._shown!r}, whose schema "
                    f"is {self._schema.to_string(show_schema_metadata=False)!r}: {error}"
                ) from error
        writer = self._writer or self._open()
        writer.write_table(table, row_group_size=self._size)

    def _open(self) -> Any:
        self._writer = self._parquet.ParquetWriter(
            self._arrow.PythonFile(_Stream(self._output), mode="w"),
            self._schema,
            compression=self._compression,
        )
        return self._writer

    def close(self) -> None:
        """Write what waits, and the end."""
        self._write_rows()
        if self._writer is None:
            self._schema = self._schema or self._arrow.schema([])
            self._open()
        writer: Any = self._writer
        self._writer = None
        writer.close()

    def conclude(self, whole: bool) -> None:
        """Give the file its name, or leave it beside."""
        if self._writer is not None:  # `close` failed
            with contextlib.suppress(Exception):
                self._writer.close()
        if whole:
            self._output.publish()
        else:
            self.partial = self._output.abandon()


def _shows_all(row: dict[str, Any]) -> bool:
    """Whether a row alone shows the types of all its columns."""
    return None not in row.values()
