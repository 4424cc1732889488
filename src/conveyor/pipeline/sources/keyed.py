"""keyed: any source, as one whose items are known again by a key of each."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from ...errors import PipelineError

__all__ = ["Keyed", "digest_of", "keyed"]

_DIGEST_BYTES = 16
# Their text is the same in every process, and another one for another value.
_BY_TEXT = (PurePath, datetime.date, datetime.time)


class Keyed:
    """What `keyed` returns."""

    def __init__(self, source: Any, key: Callable[[Any], Any] | None) -> None:
        self.source = source
        """Where the items come from."""
        self.key = key
        """Makes the key of an item; None: it is one itself."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.source)

    def __repr__(self) -> str:
        by = "" if self.key is None else f", key={_name_of(self.key)}"
        return f"keyed({self.source!r:.40}{by})"

    @property
    def identity(self) -> str:
        """What a state file says of it: not which items there are, for that may change."""
        return "items by key" if self.key is None else f"items by their {_name_of(self.key)}"

    def digest(self, item: Any) -> bytes:
        """What is kept of an item.

        Raises:
            TypeError: its key might be another one in the next run.
        """
        try:
            return digest_of(item if self.key is None else self.key(item))
        except Exception as error:
            error.add_note(f"where keyed() asks for the key of {item!r:.200}")
            raise


def keyed(source: Any, *, key: Callable[[Any], Any] | None = None) -> Keyed:
    """A source whose items have keys, so that `run(resume=...)` knows them again, in whatever order they come.

        Pipeline(keyed(rows, key=itemgetter("id"))).map(store).run(resume="done.db")

    A run leaves out each item whose key an earlier run has dealt with; and of those that have the same key in one run,
    all but the first, for the key stands for the item. Sixteen bytes of each key are kept in the state file. Without
    `resume` it is the source itself.

    Args:
        source: whatever a pipeline can have for a source, but a queue: that itself knows what is dealt with.
        key: of an item: a text, bytes, a number, None, a date, a path, or a tuple of these; None: the item is one.

    Raises:
        TypeError: the key is no function.
        PipelineError: the source is a queue.
    """
    if callable(getattr(source, "lease_many", None)):
        raise PipelineError(
            f"keyed() got a {type(source).__name__}, which itself knows what is dealt with; give it to Pipeline() as "
            "it is"
        )
    if key is not None and not callable(key):
        raise TypeError(f"key of keyed() is {key!r:.60}; it must be a function of an item, or None")
    return Keyed(source, key)


def _name_of(key: Callable[[Any], Any]) -> str:
    name = getattr(key, "__qualname__", None)
    return str(name) if name is not None else repr(key)


def digest_of(key: Any) -> bytes:
    """The bytes by which a key is known; the same in every process.

    Raises:
        TypeError: that cannot be promised of such a key.
    """
    from hashlib import blake2b

    return blake2b(_text_of(key).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _text_of(key: Any) -> str:
    if key is None or isinstance(key, bool):
        return repr(key)
    if isinstance(key, str):
        return repr(str(key))
    if isinstance(key, (bytes, bytearray)):
        return repr(bytes(key))
    if isinstance(key, float):
        return repr(float(key))
    if hasattr(key, "__index__"):  # NumPy's, too
        return repr(int(key))
    if isinstance(key, tuple):
        parts: tuple[Any, ...] = key  # pyright: ignore[reportUnknownVariableType]
        return f"({','.join(map(_text_of, parts))})"
    if isinstance(key, _BY_TEXT) or type(key).__module__ in ("uuid", "decimal"):
        return f"{type(key).__name__} {key}"
    raise TypeError(
        f"keyed() got the key {key!r:.60}, a {type(key).__name__}, which may be another one in the next run; it must "
        "be a text, bytes, a number, a date, a path, or a tuple of these"
    )
