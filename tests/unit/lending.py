"""What the tests of large objects ask a queue."""

from __future__ import annotations

import gc
from typing import Any

__all__ = ["lent", "sound", "there_and_back"]


def lent(queue: Any) -> int:
    """Bytes that received arrays lie in."""
    gc.collect()
    return int(queue.statistics().memory_lent)


def sound(queue: Any) -> bool:
    """Nothing is lent, and every page is accounted for."""
    return lent(queue) == 0 and queue._check() == ""


def there_and_back(queue: Any, item: Any) -> Any:
    queue.put(item)
    return queue.get()
