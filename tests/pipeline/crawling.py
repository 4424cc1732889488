"""Functions that feed a loop: a tree of numbers, in which 1 has the children 2 and 3, 2 has 4 and 5, and so on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conveyor import Again

__all__ = ["MOST", "Dying", "bigger", "half_or_done", "visit", "visit_ring", "whole_tree"]

MOST = 500


def visit(number: int) -> Iterator[Any]:
    yield number
    for child in (2 * number, 2 * number + 1):
        if child < MOST:
            yield Again(child)


def whole_tree(root: int = 1) -> list[int]:
    found = [root]
    for number in found:
        found += [child for child in (2 * number, 2 * number + 1) if child < MOST]
    return found


def visit_ring(number: int) -> Iterator[Any]:
    """Everybody knows everybody near, as pages do."""
    yield number
    for step in (-1, 1, 7):
        yield Again((number + step) % 200)


def half_or_done(number: int) -> Any:
    """Down to an odd number."""
    return number if number % 2 else Again(number // 2)


def bigger(item: tuple[int, bytes]) -> Iterator[Any]:
    """Each has 20 children of 100 kB, as far as there are any."""
    number, _ = item
    yield number
    for child in range(20 * number, 20 * number + 20):
        if child < 8000:
            yield Again((child, bytes(100_000)))


class Dying:
    """Visits, and kills its process at some numbers, the first time."""

    def __init__(self, folder: Path, every: int = 100) -> None:
        self.folder = folder
        self.every = every

    def __call__(self, number: int) -> list[Any]:
        mark = self.folder / str(number)
        if number % self.every == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return list(visit(number))
