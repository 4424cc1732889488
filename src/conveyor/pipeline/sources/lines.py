"""read_lines: the lines of files, as a source that knows its places."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator

from ..files.location import Location
from ..files.reading import Reading
from .file_items import FileItems, lines_of

__all__ = ["Lines", "read_lines"]


class Lines(FileItems[str | bytes]):
    """What `read_lines` returns: iterable any number of times.

    Args:
        given, encoding, errors: as for `read_lines`.
    """

    function = "read_lines"
    noun = "lines"

    def __init__(
        self,
        given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        encoding: str | None,
        errors: str,
    ) -> None:
        super().__init__(given)
        self.encoding = encoding
        self.errors = errors

    def _items(self, location: Location, reading: Reading) -> Iterator[str | bytes]:
        with reading.opened(location) as file:
            if self.encoding is None:
                for line in lines_of(file, location):
                    yield line.removesuffix(b"\n")
                return
            text = io.TextIOWrapper(file, encoding=self.encoding, errors=self.errors, newline="\n")
            try:
                for words in text:
                    yield words.removesuffix("\n")
            except (EOFError, UnicodeError) as error:
                error.add_note(f"in {location.shown}")
                raise
            finally:
                text.detach()


def read_lines(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    encoding: str | None = "utf-8",
    errors: str = "surrogateescape",
) -> Lines:
    """The lines of files without their newline, read as they are wanted.

    Args:
        path: a path; a pattern, as in "logs/*.gz" (its files in the order of their names); a URL that fsspec knows, as
            in "s3://bucket/key" (extra `files`); "-": standard input; or several of these, one after the other. What
            is compressed by gzip, bzip2, xz or zstd, by its suffix or its first bytes, is decompressed.
        encoding: None: lines are bytes.
        errors: as for `open`; by default bytes that are no text pass through unharmed.

    Raises:
        OSError: there is no such file, or it cannot be read.
        TypeError, ValueError: `path` is something else, or an empty list.
        ImportError: a package for that kind of URL or compression is not installed.
    """
    return Lines(path, encoding, errors)
