"""Named things: opened if they are there, and made if they are not, whatever others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["open_or_create"]

T = TypeVar("T")


def open_or_create(
    create: bool | None, open_existing: Callable[[], T], make: Callable[[], T]
) -> tuple[T, bool]:
    """What has the name, and whether it was made now.

    Args:
        create: True: make it; False: open it; None: open it, or make it if it is not there.
        open_existing: raises FileNotFoundError if it is not there.
        make: raises FileExistsError if it is there.
    """
    while not create:
        try:
            return open_existing(), False
        except FileNotFoundError:
            if create is False:
                raise
        try:
            return make(), True
        except FileExistsError:
            continue  # another process has made it in between
    return make(), True
