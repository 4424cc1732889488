"""What the tests of leases share."""

from __future__ import annotations

from typing import Any

import pytest


class Odd(Exception):
    pass


def fail(queue: Any, error: BaseException) -> Any:
    """Lease the next item, and leave its block by that exception."""
    with pytest.raises(type(error)), queue.lease(timeout=5) as item:
        raise error
    return item
