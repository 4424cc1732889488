"""expand: the files that a user means by a path, a pattern, a URL, or several of these."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .address import local_path, refuse_queue
from .location import STDIN, Location, remote

__all__ = ["expand"]


def expand(given: Any, function: str) -> tuple[Location, ...]:
    """The files, in the order in which they are read; each can be opened, as far as that shows at once.

    Args:
        given: a path, a URL, a pattern with `*`, `?`, `[...]` or `**`, "-", or an iterable of these.
        function: who was given it, for errors.

    Raises:
        OSError: a file is not there, or cannot be read.
        TypeError, ValueError: it is something else, or none.
        PipelineError: it is the address of a queue.
        ImportError: a package for its kind of URL is not installed.
    """
    found: list[Location]
    if isinstance(given, (str, os.PathLike)):
        found = _of_one(os.fspath(given), function)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray)):
        found = []
        for each in given:  # pyright: ignore[reportUnknownVariableType]
            if not isinstance(each, (str, os.PathLike)):
                raise TypeError(
                    f"{function}() got {each!r:.60} among its files; each must be a path or a URL"
                )
            found += _of_one(os.fspath(each), function)  # pyright: ignore[reportUnknownArgumentType]
        if not found:
            raise ValueError(f"{function}() got no files: {given!r:.60} is empty")
    else:
        raise TypeError(
            f"{function}() got {given!r:.60}, a {type(given).__name__}; "
            "give a path, a pattern as in 'logs/*.gz', a URL, '-' for standard input, or a list of these"
        )
    for location in found:
        location.check()
    return tuple(found)


def _of_one(text: Any, function: str) -> list[Location]:
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text == STDIN:
        return [Location(STDIN)]
    refuse_queue(text, "read from")
    path = local_path(text)
    if path is not None:
        if glob.has_magic(str(path)) and not os.path.lexists(path):
            names = sorted(name for name in glob.iglob(str(path), recursive=True) if not Path(name).is_dir())  # noqa: PTH207
            if not names:
                raise FileNotFoundError(f"{function}() finds no file that matches {text!r}")
            return [Location(name, Path(name)) for name in names]
        return [Location(str(path), path)]
    if glob.has_magic(text):
        system, name = remote(text)
        names = sorted(system.glob(name))
        if not names:
            raise FileNotFoundError(f"{function}() finds no file that matches {text!r}")
        return [Location(str(system.unstrip_protocol(each))) for each in names]
    return [Location(text)]
