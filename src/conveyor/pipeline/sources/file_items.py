"""FileItems: the items of one or several files, as a source that knows its places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Generic, TypeVar

from ...errors import PipelineError
from ..files.expand import expand
from ..files.location import Location, digest
from ..files.reading import Reading

__all__ = ["FileItems", "lines_of", "within"]

T = TypeVar("T")
_SHOWN = 80  # characters of what is wrong


class FileItems(Generic[T]):
    """What functions as `read_lines` return: iterable any number of times, each time from the first file's beginning.

    Args:
        given: a path, a pattern, a URL, "-", or several of these.
        said: arguments that say which items the files have, as they are shown.

    Raises:
        OSError: a file is not there, or cannot be read.
        TypeError, ValueError: it is something else, or none.
    """

    function: ClassVar[str]
    """What users call to make it."""
    noun: ClassVar[str]
    """What its items are."""

    def __init__(self, given: Any, said: str = "") -> None:
        self._given = given
        self._said = said
        self.locations: tuple[Location, ...] = expand(given, self.function)
        """The files, in order."""
        self._reading: Reading | None = None

    def _items(self, location: Location, reading: Reading) -> Iterator[T]:
        """The items of one file."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[T]:
        self._reading = reading = Reading(self.locations)
        for location in self.locations:
            yield from self._items(location, reading)

    @property
    def bytes_read(self) -> int:
        """Bytes of the files that were read, compressed ones as they lie there; by whoever iterates over it last."""
        return 0 if self._reading is None else self._reading.bytes_read

    @property
    def bytes_total(self) -> int | None:
        """Bytes of all its files; None: not known."""
        if self._reading is None:
            self._reading = Reading(self.locations)
        return self._reading.bytes_total

    @property
    def paths(self) -> list[Path]:
        """Those of its files that are on this machine."""
        return [location.path for location in self.locations if location.path is not None]

    @property
    def waits(self) -> bool:
        """Whether reading may take long: the files are not all on this machine."""
        return len(self.paths) < len(self.locations)

    @property
    def identity(self) -> str:
        """What a state file says of it: which files they are, what they hold, and how they are read.

        Raises:
            PipelineError: nobody can read it a second time.
        """
        if any(location.is_stdin for location in self.locations):
            raise PipelineError(
                "resume needs a source that can be read again, and standard input cannot; put it into a file"
            )
        each = [location.identity() for location in self.locations]
        what = each[0]
        if len(each) > 1:
            total = Reading(self.locations).bytes_total
            size = f"{total:,}" if total is not None else "some"
            what = f"{len(each):,} files, {each[0]} to {each[-1]}, {size} bytes in all ({digest(repr(each).encode())})"
        return f"the {self.noun} of {what}{self._said}"

    def __repr__(self) -> str:
        shown = str(self._given) if isinstance(self._given, Path) else self._given
        return f"{self.function}({shown!r})"


def lines_of(file: BinaryIO, location: Location) -> Iterator[bytes]:
    """The lines of an open file, with their newlines.

    Raises:
        EOFError: it is compressed, and ends in the middle of that; the text names file and line.
    """
    number = 0
    try:
        for line in file:
            number += 1
            yield line
    except EOFError as error:
        raise EOFError(f"{location.shown}, after line {number:,}: {error}") from error


def within(location: Location, line: int, what: str, data: Any = None) -> ValueError:
    """An error that says where in a file something is wrong.

    Args:
        location: the file.
        line: its line, from 1.
        what: what is wrong.
        data: what stands there; None: that does not matter.
    """
    shown = ""
    if data is not None:
        shown = f": {data!r}" if len(data) <= _SHOWN else f": {data[:_SHOWN]!r}…"
    return ValueError(f"{location.shown}, line {line:,}: {what}{shown}")
