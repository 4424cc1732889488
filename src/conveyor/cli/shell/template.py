"""Template: a command with holes, and what is run for an item."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from .contexts import Quoting, quoted_at
from .holes import Hole, find_holes

__all__ = ["Program", "Template"]

# Whatever means something to a shell, besides quotes around plain text.
_SHELL_ONLY = re.compile(r"[|&;<>()$`\\*?\[\]#~=!{}^\n]")
# Words that begin what only a shell can do; `echo` and its like are programs as well.
_WORDS_OF_THE_SHELL = frozenset(
    re.findall(
        r"\S+",
        "! . : alias bg bind break builtin caller case cd command continue coproc declare dirs disown do "
        "done elif else enable esac eval exec exit export fc fg fi for function getopts hash help "
        "history if jobs let local logout mapfile popd pushd read readarray readonly return select set "
        "shift shopt source suspend then time times trap type typeset ulimit umask unalias unset until "
        "wait while",
    )
)
_MARK = "\ue000"  # from a plane for private use: stands for a hole while the words are told apart


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run."""

    path: bytes
    words: list[bytes]


class Template:
    """A command in which `{}` and its like stand for what an item has.

    It is run without a shell if it has nothing that a shell is needed for. Else a shell gets the command with
    references in the place of the holes, and what belongs there beside it, which it so never reads as a command.

    Args:
        text: the command. If nothing stands for the item, ` {}` is added; a command that is `{}` alone is the item.
        shell: path of a POSIX shell.
        braces: what stands for `{}`.
        adds: add ` {}` if nothing stands for the item.

    Raises:
        ValueError: it is empty, or has a hole that cannot be filled.
    """

    def __init__(self, text: str, shell: str = "/bin/sh", braces: str = "{}", adds: bool = True) -> None:
        if not text.strip():
            raise ValueError("the command is empty")
        holes = find_holes(text, braces)
        self.uses_item = any(hole.part not in ("#", "%") for hole in holes)
        """Whether something in the text stands for the item, or a part of it."""
        if adds and not self.uses_item:
            text = f"{text.rstrip()} {braces}"
            holes = find_holes(text, braces)
        self.text = text
        self._shell = shell.encode("utf-8", "surrogateescape")
        self._holes = holes
        self._is_item = text.strip() == braces
        quoting = quoted_at(text, [hole.start for hole in holes])
        self._quoting: list[Quoting] = [quoting[hole.start] for hole in holes]
        self._between = self._cut(text, holes)
        self._direct = None if self._is_item else _direct(text, holes)
        self._scripts: dict[tuple[int, ...], bytes] = {}

    @staticmethod
    def _cut(text: str, holes: Sequence[Hole]) -> list[bytes]:
        parts: list[bytes] = []
        at = 0
        for hole in holes:
            parts.append(_encode(text[at : hole.start]))
            at = hole.end
        return [*parts, _encode(text[at:])]

    def program(self, arguments: Sequence[bytes], number: int, slot: int) -> Program:
        """What to run for an item.

        Args:
            arguments, number, slot: see `Hole.words`.
        """
        if self._is_item:
            return Program(self._shell, [self._shell, b"-c", b" ".join(arguments)])
        filled = [hole.words(arguments, number, slot) for hole in self._holes]
        if self._direct is not None:
            path, words = self._direct
            return Program(path, [each for word in words for each in word.fill(filled)])
        shape = tuple(map(len, filled))
        script = self._scripts.get(shape)
        if script is None:
            script = self._scripts[shape] = self._script(shape)
        return Program(
            self._shell,
            [self._shell, b"-c", script, b"conveyor", *(each for some in filled for each in some)],
        )

    def _script(self, shape: Sequence[int]) -> bytes:
        """The command with `${1}` and so on in the holes, each of which stands for so many words."""
        parts = [self._between[0]]
        at = 1
        for count, quoting, text in zip(shape, self._quoting, self._between[1:], strict=True):
            names = [b"${%d}" % (at + index) for index in range(count)]
            at += count
            if quoting == "":
                parts.append(b" ".join(b'"%s"' % name for name in names))
            elif quoting in ('"', "(("):
                parts.append(b" ".join(names))
            else:
                parts.append(b"'\"%s\"'" % b" ".join(names))
            parts.append(text)
        return b"".join(parts)

    def shown(self, arguments: Sequence[bytes], number: int, slot: int) -> bytes:
        """The command for an item, as one would type it: for a person, and for a log."""
        if self._is_item:
            return b" ".join(arguments)
        parts = [self._between[0]]
        for hole, quoting, text in zip(self._holes, self._quoting, self._between[1:], strict=True):
            words = hole.words(arguments, number, slot)
            parts.append(b" ".join(_quote(word, quoting) for word in words))
            parts.append(text)
        return b"".join(parts)

    def filled(self, arguments: Sequence[bytes], number: int, slot: int) -> bytes:
        """The text with what belongs into its holes, not quoted: for a tag."""
        parts = [self._between[0]]
        for hole, text in zip(self._holes, self._between[1:], strict=True):
            parts.append(b" ".join(hole.words(arguments, number, slot)))
            parts.append(text)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a command that needs no shell."""

    parts: tuple[bytes | int, ...]
    """Plain text, and numbers of holes."""

    def fill(self, filled: Sequence[list[bytes]]) -> list[bytes]:
        """The words that it becomes: one for each argument if it is a hole and nothing else."""
        if len(self.parts) == 1:
            [part] = self.parts
            return filled[part] if isinstance(part, int) else [part]
        return [b"".join(b" ".join(filled[part]) if isinstance(part, int) else part for part in self.parts)]


def _direct(text: str, holes: Sequence[Hole]) -> tuple[bytes, list[_Word]] | None:
    """The program's path, and its words; None: it takes a shell."""
    marked = text
    for index in reversed(range(len(holes))):
        marked = f"{marked[: holes[index].start]}{_MARK}{index}{_MARK}{marked[holes[index].end :]}"
    if marked.count(_MARK) != 2 * len(holes) or _SHELL_ONLY.search(marked):
        return None
    try:
        split = shlex.split(marked)
    except ValueError:  # a quote that is never closed: the shell says so
        return None
    if not split or _MARK in split[0] or split[0] in _WORDS_OF_THE_SHELL:
        return None
    path = shutil.which(split[0])
    if path is None:
        return None
    words: list[_Word] = []
    for word in split:
        pieces = word.split(_MARK)  # every other one is a number
        parts = [int(piece) if index % 2 else _encode(piece) for index, piece in enumerate(pieces)]
        words.append(_Word(tuple(part for part in parts if part != b"") or (b"",)))
    return _encode(path), words


def _quote(word: bytes, quoting: Quoting) -> bytes:
    if quoting == '"':
        return re.sub(rb'([\\"$`])', rb"\\\1", word)
    if quoting == "'":
        return word.replace(b"'", b"'\\''")
    if quoting == "((":
        return word
    if word and re.fullmatch(rb"[\w@%+=:,./-]+", word):
        return word
    return b"'" + word.replace(b"'", b"'\"'\"'") + b"'"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
