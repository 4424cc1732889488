"""json_text: a value as JSON on one line."""

from __future__ import annotations

import json
from typing import Any

from .rows import as_fields

__all__ = ["json_text"]


def json_text(value: Any) -> bytes:
    """A value as JSON on one line; dataclasses and named tuples as objects, numbers and arrays of NumPy as Python's.

    Raises:
        TypeError: it has no JSON; the text says which value.
    """
    fields = as_fields(value) if type(value) not in (dict, list, str, int, float) else None
    try:
        return _encode(value if fields is None else fields).encode("utf-8", "surrogateescape")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{value!r:.80} cannot be written to a file: {error}; map it to str, bytes or JSON's types before"
        ) from None


def _default(value: Any) -> Any:
    fields = as_fields(value)
    if fields is not None:
        return fields
    if callable(simple := getattr(value, "tolist", None)):  # of NumPy
        return simple()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_default).encode
