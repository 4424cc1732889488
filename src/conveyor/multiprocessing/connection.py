"""`multiprocessing.connection`, with conveyor's `Pipe`.

`Connection` is the standard library's class: what `Client` and `Listener` give is of it, and the
ends of a `Pipe` are of a subclass.
"""

from __future__ import annotations

from multiprocessing import connection as _stdlib
from multiprocessing.connection import Client, Connection, Listener, wait
from typing import Any

from ..pipe import Pipe

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_stdlib)})
