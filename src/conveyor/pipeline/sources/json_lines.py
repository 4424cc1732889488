"""read_jsonl: the JSON values of files with one on each line, as a source that knows its places."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from ..files.location import Location
from ..files.reading import Reading
from .file_items import FileItems, lines_of, within

__all__ = ["JsonLines", "read_jsonl"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonLines(FileItems[Any]):
    """What `read_jsonl` returns: iterable any number of times."""

    function = "read_jsonl"
    noun = "JSON lines"

    def _items(self, location: Location, reading: Reading) -> Iterator[Any]:
        loads = json.loads
        number = 0
        with reading.opened(location) as file:
            for number, line in enumerate(lines_of(file, location), 1):
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if line.isspace():
                    continue
                try:
                    value = loads(line.decode())
                except (ValueError, RecursionError) as error:
                    raise within(location, number, f"no JSON, {error}", line.rstrip(b"\n")) from error
                yield value


def read_jsonl(path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> JsonLines:
    """The values of JSON lines files (NDJSON), one on each line, read as they are wanted; empty lines are left out.

    As a source, or in a stage, where each worker reads a file: `Pipeline(paths).flat_map(read_jsonl, workers=4)`.
    Iterating raises ValueError for a line that is no JSON, with file and line.

    Args:
        path: as for `read_lines`.

    Raises:
        OSError, TypeError, ValueError, ImportError: as of `read_lines`.
    """
    return JsonLines(path)
