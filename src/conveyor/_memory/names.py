"""What a named queue or topic may be called: its file lies under /dev/shm."""

from __future__ import annotations

import re

__all__ = ["checked_name", "is_name"]

# The longest file name is 255 bytes; the file's prefix and suffix need some of it.
# `.ready` is the suffix: of a queue named so, the file would be the descriptor of another.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(?<!\.ready)")


def is_name(name: str) -> bool:
    """Whether a queue or topic may have that name."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str, what: str = "queue") -> str:
    """The name, which is one that a `what` may have.

    Raises:
        ValueError: it is not; the text says what would be.
    """
    if not is_name(name):
        raise ValueError(
            f"{what} name is {name!r}; it must have 1 to 200 letters, digits, '.', '_' or '-', "
            "start with a letter, a digit or '_', and not end with '.ready'"
        )
    return name
