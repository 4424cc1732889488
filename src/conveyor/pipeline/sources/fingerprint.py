"""What a source with places is, in a line of text: a state file must not be used with another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

__all__ = ["fingerprint_of", "identity_of_file"]

_SAMPLE = 1000
_BLOCK = 64 * 1024
# The repr of these is the same in every process.
_STEADY = (str, bytes, int, float, bool, type(None), PurePath)


def fingerprint_of(source: Sequence[Any]) -> str:
    """Of a sequence: its length, its ends, and up to a thousand of its items, as far as they show what they are."""
    if isinstance(source, range):
        return repr(source)
    name = f"a {type(source).__name__} of {len(source):,}"
    if not source:
        return name
    sample = [source[at] for at in range(0, len(source), -(-len(source) // _SAMPLE))]
    if not all(isinstance(item, _STEADY) for item in (*sample, source[-1])):
        return name
    digest = _digest("\n".join(map(repr, sample)).encode("utf-8", "surrogatepass"))
    return f"{name}, {source[0]!r:.80} to {source[-1]!r:.80} ({digest})"


def identity_of_file(path: Path) -> str:
    """Of a file's lines: its path, its size, and its first and last 64 KiB."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        data = file.read(_BLOCK)
        file.seek(max(size - _BLOCK, 0))
        data += file.read(_BLOCK)
    return f"the lines of {path.resolve()}, {size:,} bytes ({_digest(data)})"


def _digest(data: bytes) -> str:
    import hashlib  # takes long, and most runs have no use for it

    return hashlib.sha256(data, usedforsecurity=False).hexdigest()[:12]
