"""Rows: values as rows with the same columns, for what has columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Rows", "as_fields"]


def as_fields(value: Any) -> Mapping[str, Any] | None:
    """The fields of a dict, a dataclass or a named tuple; None: it is none of them."""
    if isinstance(value, Mapping):
        return value  # pyright: ignore[reportUnknownVariableType]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and callable(fields := getattr(value, "_asdict", None)):  # pyright: ignore[reportUnknownArgumentType]
        return fields()  # type: ignore[no-any-return]
    return None


def _fields_of(item: Any) -> Mapping[str, Any] | None:
    return item if type(item) is dict else as_fields(item)  # pyright: ignore[reportUnknownVariableType]


class Rows:
    """Makes lists of values in the order of the columns, which are those of the first row if they were not said.

    Args:
        shown: what they are written to, for errors.
        columns: said by the user: of each row these are taken, and a missing one is None. None: all rows have the same.
        known: of an earlier run, which had them of its first row.
    """

    def __init__(self, shown: str, columns: Sequence[str] | None, known: Sequence[str] | None = None) -> None:
        self._shown = shown
        self._chosen = columns is not None
        names = columns if columns is not None else known
        self.columns: list[str] | None = None if names is None else list(names)
        """The columns; None: not known yet."""

    def values(self, item: Any) -> list[Any]:
        """The values of one row.

        Raises:
            TypeError: the item has no columns.
            ValueError: it has others.
        """
        fields = _fields_of(item)
        if fields is None:
            return self._of_sequence(item)
        columns = self.columns
        if columns is None:
            columns = self.columns = [str(name) for name in fields]
        if self._chosen:
            get = fields.get
            return [get(name) for name in columns]
        if len(fields) == len(columns):
            try:
                return [fields[name] for name in columns]
            except KeyError:
                pass
        raise self._others(item, fields, columns)

    def _of_sequence(self, item: Any) -> list[Any]:
        if self._chosen and isinstance(item, (tuple, list)):
            assert self.columns is not None
            if len(item) == len(self.columns):  # pyright: ignore[reportUnknownArgumentType]
                return list(item)  # pyright: ignore[reportUnknownArgumentType]
            raise ValueError(
                f"{item!r:.80} cannot be written to {self._shown!r}: it has {len(item)} values, and there are "  # pyright: ignore[reportUnknownArgumentType]
                f"{len(self.columns)} columns, {self.columns}"
            )
        raise TypeError(
            f"{item!r:.80}, a {type(item).__name__}, cannot be written to {self._shown!r}, which has columns; "
            "give dicts, dataclasses or named tuples, or tuples and columns=[...]"
        )

    def _others(self, item: Any, fields: Mapping[str, Any], columns: list[str]) -> ValueError:
        more = [name for name in fields if name not in columns]
        less = [name for name in columns if name not in fields]
        wrong = [f"it also has {', '.join(map(repr, more))}"] if more else []
        if less:
            wrong.append(f"it lacks {', '.join(map(repr, less))}")
        return ValueError(
            f"{item!r:.80} cannot be written to {self._shown!r}, whose columns are {columns}: {' and '.join(wrong)}; "
            "say which there are to be by columns=[...]"
        )
