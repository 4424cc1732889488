"""`multiprocessing.connection`, with conveyor's `Pipe`.

`Connection` is the standard library's class: what `Client` and `Listener` give is of it, and the
ends of a `Pipe` are of a subclass.
"""

from __future__ import annotations

import typing as _typing
from multiprocessing import connection as _stdlib

from ..queues.pipe import Pipe
from ._forwarding import forward as _forward

if _typing.TYPE_CHECKING:
    from multiprocessing.connection import Client, Connection, Listener, wait

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]

_forward(__name__, _stdlib)
