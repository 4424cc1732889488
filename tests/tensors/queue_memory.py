"""Whether what has arrived lies in the memory of a queue, and gives it back."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import conveyor


def there_and_back(item: Any) -> Any:
    queue: Any = conveyor.Queue()
    queue.put(item)
    return queue.get(timeout=5)


def lies_in_a_queue(address: int) -> bool:
    """Whether an address is in memory that a queue has."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "conveyor" in line:
            first, _, end = line.split()[0].partition("-")
            if int(first, 16) <= address < int(end, 16):
                return True
    return False


def lent(queue: Any) -> int:
    """Bytes of a queue that somebody who got an item still has."""
    gc.collect()
    return int(queue.statistics().memory_lent)
