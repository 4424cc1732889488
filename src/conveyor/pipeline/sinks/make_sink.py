"""make_sink: the sink that a user means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import PipelineError
from .broker import BrokerSink
from .call import CallSink
from .collect import CollectSink
from .file import FileSink
from .of_type import TypeSink
from .queue import QueueSink
from .sink import Sink

__all__ = ["check_target", "make_sink"]

_COLLECTIONS: tuple[type, ...] = (list, tuple, set, frozenset, dict)


def check_target(target: Any) -> None:
    """Values can go there.

    Raises:
        PipelineError: they cannot.
    """
    if not isinstance(target, (str, Path)):
        make_sink(target)


def make_sink(target: Any, append: bool = False) -> Sink:
    """The sink that a user means.

    Raises:
        PipelineError: it is nothing that values can go to.
    """
    if isinstance(target, type) and (issubclass(target, _COLLECTIONS) or hasattr(target, "update")):
        if issubclass(target, list):
            return CollectSink(target())
        return TypeSink(target)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(target, (str, Path)) or (hasattr(target, "write") and not isinstance(target, type)):
        return FileSink(target, append)
    if hasattr(target, "_send") and hasattr(target, "_messages"):
        return BrokerSink(target)
    if callable(getattr(target, "put", None)):
        return QueueSink(target)
    if callable(getattr(target, "publish", None)):
        return CallSink(target.publish)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    if callable(getattr(target, "extend", None)) or callable(getattr(target, "update", None)):
        return CollectSink(target)
    if callable(target):
        return CallSink(target)
    raise PipelineError(
        f"results cannot go to a {type(target).__name__}, {target!r:.60}; "
        "give a list, a path, a file, a function, a queue, or list, set, dict"
    )
