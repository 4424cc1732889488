"""read_lines: the lines of a file, as a source that knows its places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .fingerprint import identity_of_file

__all__ = ["Lines", "read_lines"]


class Lines:
    """What `read_lines` returns: iterable any number of times."""

    def __init__(self, path: Path, encoding: str | None, errors: str) -> None:
        self.path = path
        self.encoding = encoding
        self.errors = errors

    def __iter__(self) -> Iterator[str | bytes]:
        if self.encoding is None:
            with self.path.open("rb") as file:
                for line in file:
                    yield line.removesuffix(b"\n")
        else:
            with self.path.open(encoding=self.encoding, errors=self.errors, newline="\n") as text:
                for words in text:
                    yield words.removesuffix("\n")

    def __repr__(self) -> str:
        return f"read_lines({str(self.path)!r})"

    @property
    def identity(self) -> str:
        """What a state file says of it: which file it is, and what it holds."""
        return identity_of_file(self.path)


def read_lines(path: str | Path, *, encoding: str | None = "utf-8", errors: str = "surrogateescape") -> Lines:
    """The lines of a file without their newline, read as they are wanted.

    Args:
        path: a regular file.
        encoding: None: lines are bytes.
        errors: as for `open`; by default bytes that are no text pass through unharmed.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    file = Path(path)
    with file.open("rb"):
        pass
    return Lines(file, encoding, errors)
