"""dump: pickles what a new process is to do; what cannot be imported there by value, if cloudpickle is installed."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from types import FunctionType
from typing import Any

from .main_classes import keep_classes_of_main

__all__ = ["EXTRA", "NotImportable", "dump", "dump_by_value", "not_importable"]

EXTRA = "install cloudpickle (pip install 'conveyor[cloudpickle]')"
"""What to do for functions to travel by value."""

_Stays = Callable[[pickle.PickleBuffer], Any]


def not_importable() -> str:
    """What the main module is, if a new process cannot import it; empty: it can."""
    if getattr(sys, "frozen", False):
        return ""  # a new process is the program itself once more, as far as freeze_support()
    main = sys.modules["__main__"]
    name = getattr(main.__spec__, "name", None)
    if name is not None:
        # As multiprocessing.spawn has it: that of a package does its work whenever it is imported.
        return f"the main module of package {name}" if name.split(".")[-1] == "__main__" else ""
    path = getattr(main, "__file__", None)
    if path is None:
        return 'python -c "..."' if sys.argv[:1] == ["-c"] else "a notebook, or another interactive session"
    if path == "<stdin>":
        return "a program from standard input"
    if os.path.splitext(os.path.basename(path))[0] == "ipython":  # noqa: PTH119, PTH122 - cheap at start
        return "IPython"
    return "" if os.path.exists(path) else f"{path}, which is not there"  # noqa: PTH110 - cheap at start


class NotImportable(Exception):
    """Something is of the main module, which a new process cannot import.

    Args:
        name: what it is.
        where: what the main module is.
    """

    def __init__(self, name: str, where: str) -> None:
        super().__init__(f"{name} is defined in {where}, which cannot be imported")
        self.name = name
        self.where = where


class _Noting(ForkingPickler):
    """Notes the first function or class of the main module that the pickle refers to."""

    of_main = ""

    def reducer_override(self, obj: Any) -> Any:
        if not self.of_main and isinstance(obj, (type, FunctionType)) and obj.__module__ == "__main__":
            self.of_main = obj.__qualname__
        return NotImplemented


def dump(content: Any, make_stays: Callable[[], _Stays]) -> bytes:
    """Pickle it for a process that is being started: by reference if that serves, else by value if that can be.

    Args:
        content: what is to travel.
        make_stays: makes for each attempt what is asked whether a buffer is to be in the pickle.

    Raises:
        NotImportable: it refers to a main module that cannot be imported, and cloudpickle is not there.
        Exception: it cannot be pickled.
    """
    made = io.BytesIO()
    noting = _Noting(made, pickle.HIGHEST_PROTOCOL, True, make_stays())
    try:
        noting.dump(content)
        if noting.of_main and (where := not_importable()):
            raise NotImportable(noting.of_main, where)
    except Exception:
        by_value = dump_by_value(content, make_stays())
        if by_value is None:
            raise
        return by_value
    return made.getvalue()


def dump_by_value(content: Any, stays: _Stays | None = None) -> bytes | None:
    """Pickle it by value, as far as it cannot be imported.

    Args:
        content: what is to travel.
        stays: asked whether a buffer is to be in the pickle; None: all are.

    Returns:
        The pickle; None: there is no cloudpickle.

    Raises:
        Exception: it cannot be pickled.
    """
    try:
        cloudpickle: Any = importlib.import_module("cloudpickle")
    except ImportError:
        return None
    made = io.BytesIO()
    pickler: Any = cloudpickle.Pickler(made, pickle.HIGHEST_PROTOCOL, buffer_callback=stays)
    # What only a process that is being started may inherit, queues for one.
    special: dict[type, Any] = getattr(ForkingPickler, "_extra_reducers")  # noqa: B009 - not in typeshed
    pickler.dispatch_table = ChainMap(special, pickler.dispatch_table)
    if not not_importable():
        keep_classes_of_main(pickler, cloudpickle.dumps)
    pickler.dump(content)
    return made.getvalue()
