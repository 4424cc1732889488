"""Target: the file or table that a user means by a string or a path to which results go."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ...errors import PipelineError
from .address import local_path, name_of_file, refuse_queue, scheme_of, without_password
from .compression import compression_of

__all__ = ["Target", "local_target", "target_of"]

_CSV = (
    "columns",
    "dialect",
    "delimiter",
    "quotechar",
    "escapechar",
    "doublequote",
    "quoting",
    "lineterminator",
)
_OPTIONS: dict[str, tuple[str, ...]] = {
    "lines": (),
    "jsonl": (),
    "csv": _CSV,
    "parquet": ("schema", "row_group_size", "compression"),
    "table": ("columns",),
}
_SUFFIXES = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "csv": "csv",
    "tsv": "csv",
    "parquet": "parquet",
    "pq": "parquet",
}
STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Target:
    """Where results go, and as what."""

    address: str
    """As the user wrote it."""
    format: str
    """`lines`, `jsonl`, `csv`, `parquet` or `table`."""
    path: Path | None = None
    """Where it is on this machine; of a table its database. None: at a URL, or standard output."""
    compression: str = ""
    """As in `compression_of`."""
    table: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_stdout(self) -> bool:
        """Whether it is standard output."""
        return self.path is None and self.address == STDOUT

    @property
    def shown(self) -> str:
        """What errors call it, without passwords."""
        return without_password(self.address)


def local_target(given: Any) -> Path | None:
    """The path of a file on this machine that results go to; None: it is something else."""
    if not isinstance(given, (str, os.PathLike)):
        return None
    text: Any = os.fspath(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return local_path(text) if isinstance(text, str) and text != STDOUT else None


def target_of(given: str | os.PathLike[str], options: dict[str, Any]) -> Target:
    """What a user means by a path or a URL. Nothing is opened.

    Args:
        given: where results are to go.
        options: what else `to` was given.

    Raises:
        PipelineError: it is the address of a queue, or of a database without a table.
        TypeError: an option is not for it.
        ValueError: an option has a value that it cannot have.
    """
    address = os.fspath(given)
    options = dict(options)
    wanted = options.pop("format", None)
    if wanted is not None and wanted not in ("lines", "jsonl", "csv", "parquet"):
        raise ValueError(f"format of to() is {wanted!r}; it must be 'lines', 'jsonl', 'csv' or 'parquet'")
    if scheme_of(address) == "sqlite":
        target = _table(address, options)
    else:
        refuse_queue(address, "put into")
        compression, name = compression_of(name_of_file(address))
        suffix = name.rpartition(".")[2].lower()
        kind = wanted or _SUFFIXES.get(suffix, "lines")
        if kind == "csv" and suffix == "tsv":
            options = {"dialect": "excel-tab", **options}
        if kind == "parquet" and compression:
            raise PipelineError(f"{address!r}: Parquet compresses by itself; leave the last suffix out")
        path = None if address == STDOUT else local_path(address)
        target = Target(address, kind, path, compression, "", options)
    for word in options:
        if word not in _OPTIONS[target.format]:
            has = ", ".join(_OPTIONS[target.format]) or "none"
            raise TypeError(
                f"to() got an unexpected keyword argument {word!r}; for {target.shown!r}, which is written as "
                f"{target.format}, it has: {has}"
            )
    columns: Any = options.get("columns")
    if columns is not None and (
        isinstance(columns, str) or not all(isinstance(each, str) for each in columns)
    ):
        raise TypeError(f"columns of to() is {columns!r:.80}; it must be a list of names")
    return target


def _table(address: str, options: dict[str, Any]) -> Target:
    parts = urlsplit(address)
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    table = said.pop("table", "")
    if not table:
        refuse_queue(address, "put into")
    if said or parts.netloc or len(parts.path) < 2 or parts.fragment:
        raise PipelineError(
            f"{address!r} is no address of a table; it must be as in sqlite:///file.db?table=name: three slashes "
            "before a relative path, four before an absolute one, and only table= behind"
        )
    return Target(address, "table", Path(unquote(parts.path[1:])), "", table, options)
