"""Inputs: where `conveyor map` has its items from: standard input, files, words of the command line, or several."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, product

from .exit_codes import CommandError

__all__ = ["InputSource", "Inputs", "apart", "parse_words"]

_STDIN = 0
_SEPARATORS = re.compile(r"::::?\+?")


def apart(words: Sequence[str]) -> list[str]:
    """The words of the command line, with `--` before the first `:::`, so that what follows is never an option.

    Args:
        words: behind the verb. `--args` is another name of `:::`.
    """
    for at, word in enumerate(words):
        if word == "--":
            break
        if word == "--args" or _SEPARATORS.fullmatch(word):
            return [*words[:at], "--", ":::" if word == "--args" else word, *words[at + 1 :]]
    return list(words)


@dataclass(frozen=True, slots=True)
class InputSource:
    """One source."""

    files: tuple[str, ...] = ()
    """Whose lines it has; `-` is standard input."""
    words: tuple[str, ...] = ()
    """What it has if that stands on the command line."""
    linked: bool = False
    """Whether its items go with those of the source before, one by one; else each goes with each."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All of them."""

    sources: tuple[InputSource, ...]
    separator: bytes = b"\n"
    """What ends an item of a file."""
    _open: list[int] = field(default_factory=list[int])

    @property
    def only_file(self) -> str | None:
        """The one file that is to be read as it comes; None: there is more than that."""
        if len(self.sources) == 1 and len(self.sources[0].files) == 1:
            return self.sources[0].files[0]
        return None

    def open_only(self) -> int:
        """A descriptor of that file, which stays open as long as the process lives.

        Raises:
            CommandError: it cannot be read.
        """
        name = self.only_file
        assert name is not None
        if name == "-":
            return _STDIN
        try:
            return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}") from None

    def rows(self) -> Iterator[tuple[bytes, ...]]:
        """What they have together, one argument of each source at a time.

        Raises:
            CommandError: a file cannot be read.
        """
        groups: list[list[list[bytes]]] = []
        for source in self.sources:
            values = [os.fsencode(word) for word in source.words]
            for name in source.files:
                values += self._read(name)
            if source.linked and groups:
                groups[-1].append(values)
            else:
                groups.append([values])
        linked = [_together(group) for group in groups]
        for combination in product(*linked):
            yield tuple(each for part in combination for each in part)

    def _read(self, name: str) -> list[bytes]:
        try:
            with open(_STDIN if name == "-" else name, "rb", closefd=name != "-") as file:
                data = file.read()
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}") from None
        lines = data.split(self.separator)
        return lines[:-1] if not lines[-1] else lines


def _together(group: list[list[bytes]]) -> list[tuple[bytes, ...]]:
    """The items of linked sources, one by one; those of a shorter one come again from its first."""
    most = max(map(len, group)) if all(group) else 0
    return list(zip(*(islice(cycle(values), most) for values in group), strict=True))


def parse_words(words: Sequence[str], files: Sequence[str]) -> tuple[list[str], tuple[InputSource, ...]]:
    """The words before the first `:::`, and the sources that the others and `files` say; standard input if none does.

    Args:
        words: of the command line, options taken away: `:::` is followed by items, `::::` by files, with a `+` to be
            linked with the source before.
        files: those of `--arg-file`.
    """
    before: list[str] = []
    sources = [InputSource(files=(name,)) for name in files]
    at = 0
    while at < len(words) and not _SEPARATORS.fullmatch(words[at]):
        before.append(words[at])
        at += 1
    while at < len(words):
        kind = words[at]
        end = at + 1
        while end < len(words) and not _SEPARATORS.fullmatch(words[end]):
            end += 1
        values = tuple(words[at + 1 : end])
        linked = kind.endswith("+")
        if kind.startswith("::::"):
            # Each file is a source of its own, as with GNU parallel.
            sources += [InputSource(files=(name,), linked=linked) for name in values]
        else:
            sources.append(InputSource(words=values, linked=linked))
        at = end
    return before, tuple(sources) or (InputSource(files=("-",)),)
