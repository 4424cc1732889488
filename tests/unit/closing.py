"""What the tests of `close` have in common."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
from pathlib import Path
from typing import Any

import conveyor


def belongings() -> tuple[int, int]:
    """How many descriptors and mappings of shared memory this process has.

    No socket is a queue's: the one by which the privileged offer what they have pickled stays for some seconds.
    """
    gc.collect()  # what other tests have left goes now, and not in the middle
    descriptors = 0
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            descriptors += not os.readlink(f"/proc/self/fd/{number}").startswith("socket:")  # noqa: PTH115
    return descriptors, Path("/proc/self/maps").read_text().count("memfd:conveyor")


def drain(queue: Any) -> None:
    """Take what a closed queue was left with, by another handle."""
    other = pickle.loads(pickle.dumps(queue))
    conveyor.Queue()
    while not other.empty():
        other.get()
    other.close()
    queue.join_thread()
