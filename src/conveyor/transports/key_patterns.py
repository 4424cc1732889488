"""Which keys a pattern stands for: words with dots between, where `*` is any one word and `#` any number of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["checked_key", "matcher"]

_LONGEST_KEY = 255


def checked_key(key: str | None) -> str | None:
    """The key of an event; the empty one, which has no words, is None.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not key and (key is None or isinstance(key, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
        return None
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f'key is {key!r}; it must be a str, as in "prices.eur", or None')
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > _LONGEST_KEY:
        raise ValueError(f"key has {size} bytes in UTF-8; at most {_LONGEST_KEY} are possible")
    if "*" in key or "#" in key:
        raise ValueError(f"key is {key!r}; '*' and '#' are for the patterns of subscribe()")
    return key


def matcher(patterns: Sequence[str]) -> Callable[[str | None], bool]:
    """A function that says whether a key fits one of the patterns; without patterns, each does."""
    if not patterns:
        return lambda key: True
    fits = re.compile("|".join(map(_expression, patterns)), re.DOTALL).fullmatch
    # Each word with the dot before it, so that no words at all are "".
    return lambda key: fits("." + key if key else "") is not None


def _expression(pattern: str) -> str:
    if not pattern:
        return ""
    parts = {"#": r"(?:\.[^.]*)*", "*": r"\.[^.]*"}
    return "".join(parts.get(word) or r"\." + re.escape(word) for word in pattern.split("."))
