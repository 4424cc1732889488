"""too_many: whether more items have failed than may."""

from __future__ import annotations

from ...errors import TooManyFailures
from ..base.failure import Failure

__all__ = ["too_many"]

_LEAST = 100  # a share is not asked of fewer items


def too_many(most: int | float | None, failed: int, taken: int, last: Failure) -> TooManyFailures | None:
    """What is to be raised when so many of the items taken have failed; None: nothing.

    Args:
        most: how many may, as a number or a share; None: any.
        failed, taken: items.
        last: the last failure.
    """
    if most is None or failed <= (most if isinstance(most, int) else most * max(taken, _LEAST)):
        return None
    bound = f"{most:,}" if isinstance(most, int) else f"{most:.3g} of {taken:,}"
    error = TooManyFailures(f"{failed:,} items failed; max_failures is {bound}")
    error.__cause__ = last.exception()
    return error
