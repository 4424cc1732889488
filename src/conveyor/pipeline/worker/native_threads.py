"""bound_threads: how many threads BLAS, OpenMP and the like may have in a worker process."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["bound_threads", "heed_environment", "uses_native_threads"]

# What libraries read when they are loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_OF_LIBRARY = {"openblas": _VARIABLES[1], "mkl": _VARIABLES[2], "blis": _VARIABLES[3]}
# With none of these, no such library is loaded; to look for them takes milliseconds.
_USERS = ("numpy", "torch")
_ours: set[str] = set()  # variables that were set here, and not by the user


def uses_native_threads() -> bool:
    """Whether a package is loaded in this process that brings such libraries."""
    return any(name in sys.modules for name in _USERS)


def bound_threads(count: int) -> None:
    """Let native libraries in this process have so many threads at most, those that are loaded and those to come.

    What the user says in the environment stays as it is. Of those that are loaded already only threadpoolctl can tell;
    without it they stay as they are.
    """
    said = {name for name in _VARIABLES if name in os.environ} - _ours
    for name in _VARIABLES:
        if name not in said:
            os.environ[name] = str(count)
            _ours.add(name)
    for library, own in _loaded():
        if not {own, _VARIABLES[0]} & said and library.num_threads > count:
            library.set_num_threads(count)


def heed_environment() -> None:
    """Let the libraries that are loaded in this process have no more threads than the environment says by now.

    They read it when they are loaded, and a forked process has those of its parent. Only threadpoolctl can tell them
    later; without it they stay as they are.
    """
    for library, own in _loaded():
        said = os.environ.get(own) or os.environ.get(_VARIABLES[0], "")
        if said.isdecimal() and library.num_threads > int(said) > 0:
            library.set_num_threads(int(said))


def _loaded() -> Iterator[tuple[Any, str]]:
    """The libraries that can be told, each with the variable that it reads before `OMP_NUM_THREADS`."""
    if not uses_native_threads():
        return
    try:
        threadpoolctl: Any = importlib.import_module("threadpoolctl")
    except ImportError:
        return
    controller: Any = threadpoolctl.ThreadpoolController()
    for library in controller.lib_controllers:
        yield library, _OF_LIBRARY.get(library.internal_api, _VARIABLES[0])
