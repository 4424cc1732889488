"""What a source with places is, in a line of text: a state file must not be used with another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ..files.location import digest

__all__ = ["fingerprint_of"]

_SAMPLE = 1000
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
    found = digest("\n".join(map(repr, sample)).encode("utf-8", "surrogatepass"))
    return f"{name}, {source[0]!r:.80} to {source[-1]!r:.80} ({found})"
