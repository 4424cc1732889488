"""Seeding: the random numbers of a worker differ from those of all others, or are the same in each run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .identity import Worker, mix

__all__ = ["Seeding"]

_NUMPY = "numpy.random"
_HALF = (1 << 32) - 1


class Seeding:
    """Seeds the generators of a worker: its own, and in a process of its own those of `random` and of NumPy.

    Args:
        worker: whose they are.
        base: of the seeds of items; None: items have none.
        has_process: whether nobody else uses the generators of this process.
    """

    def __init__(self, worker: Worker, base: int | None, has_process: bool) -> None:
        self._worker = worker
        self._base = base
        self._has_process = has_process

    def begin(self) -> None:
        """The worker begins."""
        if not self._has_process:
            return
        _seed_globals(self._worker.seed)
        if self._base is not None and _NUMPY not in sys.modules:
            sys.meta_path.insert(0, _WhenImported(self._seed_numpy))

    def begin_item(self, number: int) -> None:
        """It begins the item at that place of the stage's input."""
        assert self._base is not None, "items have seeds"
        seed = mix(self._base, number)
        self._worker.begin_item(seed)
        if self._has_process:
            _seed_globals(seed)

    def end(self) -> None:
        """There are no more items."""
        self._worker.end_items()

    def _seed_numpy(self) -> None:
        seed = self._worker.item_seed
        _seed_numpy(self._worker.seed if seed is None else seed)


def _seed_globals(seed: int) -> None:
    import random

    random.seed(seed)
    if _NUMPY in sys.modules:
        _seed_numpy(seed)


def _seed_numpy(seed: int) -> None:
    numpy_random: Any = sys.modules[_NUMPY]
    numpy_random.seed([seed & _HALF, seed >> 32])


class _WhenImported:
    """Has something done as soon as NumPy's generators are imported; stands in `sys.meta_path` until then."""

    def __init__(self, act: Any) -> None:
        self._act = act

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of `numpy.random` alone: as anybody finds it, but that something follows."""
        if name != _NUMPY:
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        run, act = spec.loader.exec_module, self._act

        def exec_module(module: ModuleType) -> None:
            run(module)
            act()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
