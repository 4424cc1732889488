"""CsvEncoder: a CSV row for each value, behind a header."""

from __future__ import annotations

import csv
import io
from typing import Any

from .rows import Rows

__all__ = ["CsvEncoder"]


class CsvEncoder:
    """A CSV row for each value, behind a header with the names of the columns.

    Args:
        shown: the file, for errors.
        options: `columns`, and what else says how a `csv.writer` writes.
        memory: of an earlier run: its columns, as its header is there. None: there was none.

    Raises:
        TypeError, ValueError: the csv module cannot write like this.
    """

    def __init__(self, shown: str, options: dict[str, Any], memory: list[str] | None = None) -> None:
        format: dict[str, Any] = {"lineterminator": "\n", **options}  # noqa: A001 - as users call it
        self._rows = Rows(shown, format.pop("columns", None), memory)
        self._has_header = memory is not None
        self._text = io.StringIO(newline="")
        try:
            self._writer = csv.writer(self._text, **format)
        except csv.Error as error:
            raise ValueError(f"to() cannot write CSV like this: {error}") from error

    @property
    def memory(self) -> list[str] | None:
        """The columns, if the header was written."""
        return self._rows.columns if self._has_header else None

    def encode(self, values: list[Any]) -> bytes:
        """The rows of some values, behind the header if they are the first.

        Raises:
            TypeError, ValueError: a value has other columns, or none, or cannot be written.
        """
        rows = [self._rows.values(value) for value in values]
        try:
            self._head()
            self._writer.writerows(rows)
        except csv.Error as error:
            self._taken()
            raise ValueError(f"{error}: one of {len(values)} values from {values[0]!r:.80}") from error
        return self._taken()

    def end(self) -> bytes:
        """The header, if there was no row and the columns are known."""
        self._head()
        return self._taken()

    def _head(self) -> None:
        if not self._has_header and self._rows.columns is not None:
            self._writer.writerow(self._rows.columns)
            self._has_header = True

    def _taken(self) -> bytes:
        data = self._text.getvalue().encode("utf-8", "surrogateescape")
        self._text.seek(0)
        self._text.truncate()
        return data
