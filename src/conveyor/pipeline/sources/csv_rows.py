"""read_csv: the rows of CSV files as dicts, as a source that knows its places."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..files.location import Location
from ..files.reading import Reading
from .file_items import FileItems, within

__all__ = ["CsvRows", "read_csv"]

_FORMATS = frozenset(
    {
        "dialect",
        "delimiter",
        "quotechar",
        "escapechar",
        "doublequote",
        "skipinitialspace",
        "quoting",
        "strict",
    }
)


class _Reader(Protocol):
    """A `csv.reader`."""

    @property
    def line_num(self) -> int:
        """Lines read so far."""
        ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


class CsvRows(FileItems[dict[str, Any]]):
    """What `read_csv` returns: iterable any number of times.

    Args:
        given, header, types, encoding, format: as for `read_csv`.

    Raises:
        TypeError, ValueError: one of them is not as it says there.
    """

    function = "read_csv"
    noun = "rows"

    def __init__(
        self,
        given: Any,
        header: bool | Sequence[str],
        types: Mapping[str, Callable[[str], Any]] | None,
        encoding: str,
        format: dict[str, Any],  # noqa: A002 - as users call it
    ) -> None:
        for word in format:
            if word not in _FORMATS:
                raise TypeError(
                    f"read_csv() got an unexpected keyword argument {word!r}; of the csv module's it has "
                    + ", ".join(sorted(_FORMATS))
                )
        try:
            csv.reader([], **format)
        except csv.Error as error:
            raise ValueError(f"read_csv() cannot read like this: {error}") from error
        if isinstance(header, str) or not isinstance(header, (bool, Sequence)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"header of read_csv() is {header!r}; it must be True, or the names of the columns"
            )
        if header is False:
            raise ValueError(
                "header of read_csv() is False; say what the columns are: header=['name', 'age']"
            )
        for name, convert in (types or {}).items():
            if not callable(convert):
                raise TypeError(
                    f"types of read_csv() has {convert!r:.40} for {name!r}; it takes a function of a string, as int"
                )
        said = "" if header is True and not format else f", read with header={header!r}, {format!r}"
        super().__init__(given, said)
        self._header = header
        self._types = dict(types or {})
        self._encoding = encoding
        self._format = format

    def _items(self, location: Location, reading: Reading) -> Iterator[dict[str, Any]]:
        with reading.opened(location) as file:
            text = io.TextIOWrapper(file, encoding=self._encoding, newline="")
            rows = csv.reader(text, **self._format)
            try:
                yield from self._dicts(rows, location)
            except csv.Error as error:
                hint = "; csv.field_size_limit() raises it" if "field limit" in str(error) else ""
                raise within(location, rows.line_num, f"{error}{hint}") from error
            except UnicodeDecodeError as error:
                raise within(
                    location, rows.line_num + 1, f"it, or one soon after it, is no {self._encoding}: {error}"
                ) from error
            except EOFError as error:
                raise EOFError(f"{location.shown}, after line {rows.line_num:,}: {error}") from error
            finally:
                text.detach()

    def _dicts(self, rows: _Reader, location: Location) -> Iterator[dict[str, Any]]:
        none: list[str] = []
        names = list(next(rows, none)) if isinstance(self._header, bool) else list(self._header)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise within(
                location, rows.line_num, f"two columns are called {twice!r}; name them by header=[...]"
            )
        missing = [name for name in self._types if name not in names]
        if missing and names:
            raise within(
                location,
                rows.line_num,
                f"there is no column {missing[0]!r}, which types names; it has {names}",
            )
        converts = [(name, self._types[name]) for name in names if name in self._types]
        count = len(names)
        for row in rows:
            if len(row) != count:
                if not row:
                    continue
                values = "1 value" if len(row) == 1 else f"{len(row)} values"
                raise within(location, rows.line_num, f"{values} for {count} columns", ",".join(row))
            found: dict[str, Any] = dict(zip(names, row, strict=True))
            for name, convert in converts:
                value = found[name]
                try:
                    found[name] = convert(value) if value else None
                except Exception as error:
                    raise within(
                        location, rows.line_num, f"column {name!r} is {value!r:.60}: {error}"
                    ) from error
            yield found


def read_csv(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    header: bool | Sequence[str] = True,
    types: Mapping[str, Callable[[str], Any]] | None = None,
    encoding: str = "utf-8-sig",
    **format: Any,  # noqa: A002 - as users call it
) -> CsvRows:
    """The rows of CSV files as dicts of strings, read as they are wanted; empty lines are left out.

    As a source, or in a stage, where each worker reads a file: `Pipeline(paths).flat_map(read_csv, workers=4)`.
    Iterating raises ValueError for a row that does not fit, with file and line.

    Args:
        path: as for `read_lines`.
        header: True: the first row of each file has the names of its columns; names: the files have no such row.
        types: for columns that are to be more than strings, what makes it of a string, as `{"age": int}`; an empty
            field is None then.
        encoding: of the files; a byte order mark at their beginning is left out.
        format: `delimiter=";"`, `dialect="excel-tab"` and what else says how a `csv.reader` reads.

    Raises:
        OSError, ImportError: as of `read_lines`.
        TypeError, ValueError: an argument is not as above.
    """
    return CsvRows(path, header, types, encoding, format)
