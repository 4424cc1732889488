"""make_sink: the sink that a user means."""

from __future__ import annotations

import io
import os
from typing import Any

from ...errors import PipelineError
from ..files.beginning import Beginning
from ..files.target import target_of
from .broker import BrokerSink
from .call import CallSink
from .collect import CollectSink
from .encoded_file import EncodedFileSink
from .file import FileSink
from .of_type import TypeSink
from .queue import QueueSink
from .sink import Sink

__all__ = ["check_target", "make_sink"]

_COLLECTIONS: tuple[type, ...] = (list, tuple, set, frozenset, dict)
_FRESH = Beginning()


def check_target(target: Any, options: dict[str, Any]) -> None:
    """Values can go there.

    Raises:
        PipelineError: they cannot.
        TypeError, ValueError: an option is not for it.
    """
    if isinstance(target, (str, os.PathLike)):
        target_of(target, options)  # pyright: ignore[reportUnknownArgumentType]
        return
    if options:
        raise TypeError(
            f"to() got an unexpected keyword argument {next(iter(options))!r}; a {type(target).__name__} has none, "
            "only paths and URLs do"
        )
    make_sink(target)


def make_sink(target: Any, options: dict[str, Any] | None = None, beginning: Beginning = _FRESH) -> Sink:
    """The sink that a user means.

    Args:
        target: what the user gave.
        options: what else, for a path or a URL.
        beginning: how what keeps places begins.

    Raises:
        PipelineError: it is nothing that values can go to.
        OSError, ImportError, TypeError, ValueError: it cannot be written to.
    """
    if isinstance(target, type) and (issubclass(target, _COLLECTIONS) or hasattr(target, "update")):
        if issubclass(target, list):
            return CollectSink(target())
        return TypeSink(target)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(target, (str, os.PathLike)):
        return _to_file(target, options or {}, beginning)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(target, io.IOBase) or (hasattr(target, "write") and not isinstance(target, type)):
        return FileSink(target)
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


def _to_file(given: str | os.PathLike[str], options: dict[str, Any], beginning: Beginning) -> Sink:
    target = target_of(given, options)
    if target.format == "parquet":
        from .parquet_file import ParquetSink

        return ParquetSink(target, beginning)
    if target.format == "table":
        from .table import TableSink

        return TableSink(target, beginning)
    return EncodedFileSink(target, beginning)
