"""check_files: no file is written to that is read, or written to by somebody else, in the same run."""

from __future__ import annotations

import functools
import gc
import inspect
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any

from ...errors import PipelineError
from ..files.target import local_target
from ..graph.graph import Graph, Tee, To
from ..sources.file_items import FileItems

__all__ = ["check_files"]

_File = tuple[int, int]  # device and inode

# How far a source is looked into for files that it reads.
_DEPTH = 6
_OBJECTS = 1000
_LARGE = 100
_COLLECTIONS: tuple[Any, ...] = (list, tuple, set, frozenset, dict)


def check_files(graph: Graph, resume: str | os.PathLike[str] | None = None) -> None:
    """Look for ends of a pipeline that would destroy what is read or written elsewhere in it.

    A file that is an end is emptied when the run begins. Whether the source reads it is found out as far as the source
    shows what it has: a file, what iterates over one, a generator with a file or a path in a variable.

    Args:
        graph: what is to run.
        resume: the file with the state of the run, if there is one.

    Raises:
        PipelineError: there is such an end.
    """
    targets = [(step.name, step.target) for step in graph.every_step() if isinstance(step, (To, Tee))]
    for name, target in targets:
        if (
            any(target is one.source for one in graph.every_source())
            and callable(getattr(target, "__iter__", None))
            and not _is_queue(target)
        ):
            raise PipelineError(
                f"stage {name!r} puts the results into the {type(target).__name__} that the items come from, so that "
                "they would never end; give another one"
            )
    files = [(name, target, _file_of(target)) for name, target in targets]
    if not any(file is not None or _is_path(target) for _, target, file in files):
        return
    read = {file for one in graph.every_source() for file in _files_read(one.source)}
    written: dict[str, str] = {}
    for name, target, file in files:
        shown = repr(getattr(target, "name", None) or str(target))
        if file is not None and file in read:
            raise PipelineError(
                f"stage {name!r} writes to {shown}, which the source reads: it would be emptied before; "
                "write to another file"
            )
        if not _is_path(target):
            continue
        where = os.path.realpath(local_target(target) or target)
        if resume is not None and where == os.path.realpath(resume):
            raise PipelineError(
                f"stage {name!r} writes to {shown}, which is also given for resume; name two files"
            )
        if where in written and (file is not None or not os.path.exists(where)):  # noqa: PTH110 - beside realpath
            raise PipelineError(
                f"stages {written[where]!r} and {name!r} both write to {shown}, over each other; "
                "name two files, or give both the same open file"
            )
        written[where] = name


def _is_path(target: Any) -> bool:
    return local_target(target) is not None


def _is_queue(target: Any) -> bool:
    return callable(getattr(target, "put", None))


def _file_of(what: Any) -> _File | None:
    """The regular file that a path, a descriptor or a file object stands for; None: none, or none yet."""
    try:
        if isinstance(what, (str, os.PathLike)):
            status = (local_target(what) or Path(what)).stat()  # pyright: ignore[reportUnknownArgumentType]
        else:
            status = os.fstat(what if isinstance(what, int) else what.fileno())
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _files_read(source: Any) -> Iterator[_File]:
    """The files that a source reads, as far as can be seen."""
    if isinstance(source, _COLLECTIONS):
        return  # it has its items already
    budget = [_OBJECTS]
    for found in _within(source, _DEPTH, budget):
        if isinstance(found, (str, PurePath)) and not (found and os.path.exists(found)):  # noqa: PTH110 - many of them
            continue
        file = _file_of(found)
        if file is not None:
            yield file


def _is_file(value: Any) -> bool:
    return isinstance(value, io.IOBase) or (
        not isinstance(value, type) and callable(getattr(value, "fileno", None))
    )


def _within(value: Any, depth: int, budget: list[int]) -> Iterator[Any]:
    """Files, paths and descriptors that it holds."""
    budget[0] -= 1
    if budget[0] < 0:
        return
    if isinstance(value, (str, PurePath)) or _is_file(value):
        yield value
    elif isinstance(value, FileItems):
        yield from value.paths  # pyright: ignore[reportUnknownMemberType]
    elif depth:
        for held in _held_by(value):
            yield from _within(held, depth - 1, budget)


def _held_by(value: Any) -> list[Any]:
    if isinstance(value, (bytes, int, float, bool, type(None), type, ModuleType)):
        return []
    if inspect.isgenerator(value):
        return list(inspect.getgeneratorlocals(value).values())
    if inspect.isasyncgen(value):
        return [] if value.ag_frame is None else list(value.ag_frame.f_locals.values())
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, _COLLECTIONS) and len(value) > _LARGE:
        return []
    return gc.get_referents(value)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
