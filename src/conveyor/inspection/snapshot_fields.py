"""SnapshotFields: an object of a run's snapshot, of which nothing is believed before it was looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, cast

from ..errors import CorruptSegment

__all__ = ["SnapshotFields"]

_MOST_TEXT = 10_000
_MOST_COUNT = 2**63


class SnapshotFields:
    """An object of JSON's. Whoever wrote it may have meant harm: all values are checked, and texts are made printable.

    Args:
        value: what should be an object.
        what: what it stands for, for people.

    Raises:
        CorruptSegment: it is no object; also from all methods, if a field is not there or not of its type.
    """

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise CorruptSegment(f"{what} is {value!r:.60} in the snapshot of a run; it must be an object")
        self._fields = cast("dict[str, Any]", value)
        self._what = what

    @classmethod
    def parse(cls, data: bytes) -> SnapshotFields:
        """The object that these bytes are."""
        try:
            value: object = json.loads(data)
        except (ValueError, RecursionError, MemoryError) as error:
            raise CorruptSegment(f"the snapshot of a run is no JSON: {error!s:.200}") from error
        return cls(value, "the run")

    def _wrong(self, key: str, right: str) -> CorruptSegment:
        value = self._fields.get(key)
        return CorruptSegment(
            f"{key} of {self._what} is {value!r:.60} in the snapshot of a run; it must be {right}"
        )

    def text(self, key: str) -> str:
        """A text on one line."""
        return self.lines(key).replace("\n", " ")

    def lines(self, key: str) -> str:
        """A text that may have several lines."""
        value = self._fields.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        value = value[:_MOST_TEXT]
        return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in value)

    def count(self, key: str) -> int:
        """A whole number, 0 or more."""
        value = self._fields.get(key)
        if type(value) is not int or not 0 <= value < _MOST_COUNT:
            raise self._wrong(key, "a whole number from 0")
        return value

    def number(self, key: str) -> float:
        """A number, 0 or more."""
        value = self._fields.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT:
            return float(value)  # it is not NaN
        raise self._wrong(key, "a number from 0")

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._fields.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def has(self, key: str) -> bool:
        """Whether the field is there, and not null."""
        return self._fields.get(key) is not None

    def counts(self, key: str) -> tuple[int, ...]:
        """Whole numbers, 0 or more."""
        values = self._list(key, "a list of whole numbers from 0")
        if not all(type(value) is int and 0 <= value < _MOST_COUNT for value in values):
            raise self._wrong(key, "a list of whole numbers from 0")
        return tuple(values)

    def values_of(self, view: type[Any]) -> dict[str, Any]:
        """A value for each field of a dataclass, of the same name and by its type, texts on one line.

        Args:
            view: fields are texts, whole numbers, numbers, flags, or tuples of whole numbers.
        """
        read: dict[Any, Callable[[str], Any]] = {
            "str": self.text,
            "int": self.count,
            "float": self.number,
            "bool": self.flag,
            "tuple[int, ...]": self.counts,
        }
        return {each.name: read[each.type](each.name) for each in fields(view)}

    def each(self, key: str, what: str) -> list[SnapshotFields]:
        """Objects.

        Args:
            key: the field.
            what: what each stands for.
        """
        return [SnapshotFields(value, what) for value in self._list(key, "a list of objects")]

    def _list(self, key: str, right: str) -> list[Any]:
        found: Any = self._fields.get(key)
        if not isinstance(found, list):
            raise self._wrong(key, right)
        return cast("list[Any]", found)  # type: ignore[redundant-cast]
