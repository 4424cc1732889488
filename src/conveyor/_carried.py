"""Carried: an item with words that travel beside it, such as where in a trace it was put; see `conveyor.telemetry`.

Who receives one gets the item alone, whether or not it knows of traces: the words go to whoever asked for them in its
thread.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Carried", "delivered", "listening", "of_type", "typed"]

# As a parameter of a message's content type.
_PARAMETER = "; conveyor-traceparent="


class _Listener(threading.local):
    heard: list[dict[str, str]] | None = None


_listener = _Listener()


class Carried:
    """An item, on its way into a queue. A pickle of it is one of the item, which says the words when it is loaded.

    Args:
        item: what is put.
        words: by name, as W3C's trace context has them: `traceparent`, and perhaps others.
    """

    __slots__ = ("item", "words")

    def __init__(self, item: Any, words: dict[str, str]) -> None:
        self.item = item
        self.words = words

    def __reduce__(self) -> tuple[Any, ...]:
        return delivered, (self.item, self.words)


def delivered(item: Any, words: dict[str, str]) -> Any:
    """The item; and its words are told to who listens."""
    if (heard := _listener.heard) is not None:
        heard.append(words)
    return item


@contextmanager
def listening() -> Generator[list[dict[str, str]]]:
    """A list of the words that come with items which this thread receives in the block."""
    before, _listener.heard = _listener.heard, []
    try:
        yield _listener.heard
    finally:
        _listener.heard = before


def typed(content_type: str, words: dict[str, str]) -> str:
    """The content type of a message that carries the words: only `traceparent` has room there."""
    parent = words.get("traceparent")
    return content_type if parent is None else f"{content_type}{_PARAMETER}{parent}"


def of_type(content_type: str) -> tuple[str, dict[str, str] | None]:
    """The content type without the words, and these; None: it carries none."""
    kind, found, parent = content_type.partition(_PARAMETER)
    return kind, {"traceparent": parent} if found else None
