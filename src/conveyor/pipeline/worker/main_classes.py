"""Classes of the main module in pickles by value: the one that the reader has, or else a copy."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any

__all__ = ["keep_classes_of_main"]


def keep_classes_of_main(pickler: Any, dump: Callable[[Any], bytes]) -> None:
    """Have a pickler of cloudpickle's refer to classes of the main module by name, where the reader finds them.

    By value each would be another class there than that of the items and results that are pickled as usual:
    `isinstance` and `except` would fail, and members of enumerations not be equal. One that is not there, as it is
    made under `if __name__ == "__main__":`, is still made of its value.

    Args:
        pickler: whose `reducer_override` is replaced.
        dump: pickles a class by value, with all that it refers to.
    """
    usual: Callable[[Any], Any] = pickler.reducer_override

    def reduced(obj: Any) -> Any:
        if isinstance(obj, type) and _found(obj.__module__, obj.__qualname__) is obj:
            return _class_of_main, (obj.__qualname__, dump(obj))
        return usual(obj)

    pickler.reducer_override = reduced


def _found(module: str, name: str) -> Any:
    if module != "__main__":
        return None
    try:
        return attrgetter(name)(sys.modules["__main__"])
    except AttributeError:
        return None


def _class_of_main(name: str, by_value: bytes) -> Any:
    found = _found("__main__", name)
    return found if isinstance(found, type) else pickle.loads(by_value)
