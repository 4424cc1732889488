"""How files are compressed: told by their suffix or their first bytes; and what reads and writes them."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO, Protocol, cast

__all__ = ["Compressor", "compression_of", "compressor", "decompressed", "told_by_bytes"]

_SUFFIXES = {".gz": "gzip", ".gzip": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}
_BEGINNINGS = {
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BZ2_BLOCK = b"1AY&SY"
_BUFFER = 256 * 1024


class Compressor(Protocol):
    """Compresses bytes; what it makes until `flush` is one whole member, behind which others may stand."""

    def compress(self, data: bytes, /) -> bytes:
        """Take data; some of what it becomes."""
        ...

    def flush(self) -> bytes:
        """The rest of the member."""
        ...


def compression_of(name: str) -> tuple[str, str]:
    """How a file with that name is compressed, or nothing; and its name without that suffix."""
    stem, dot, suffix = name.rpartition(".")
    kind = _SUFFIXES.get(f".{suffix.lower()}", "") if dot and stem else ""
    return (kind, stem) if kind else ("", name)


def told_by_bytes(beginning: bytes) -> str:
    """How a file is compressed that begins like this; empty: it is not, or nobody can tell."""
    for mark, kind in _BEGINNINGS.items():
        if beginning.startswith(mark):
            # Text may begin with these three letters.
            return "" if kind == "bz2" and beginning[4:10] != _BZ2_BLOCK else kind
    return ""


def decompressed(file: BinaryIO, kind: str) -> BinaryIO:
    """What a compressed file holds; closing it does not close that file.

    Args:
        file: open for reading.
        kind: `gzip`, `bz2`, `xz` or `zstd`; empty: it is not compressed.

    Raises:
        ImportError: this Python cannot read it; the text says what to install.
    """
    if not kind:
        return file
    raw: Any
    if kind == "gzip":
        import gzip

        raw = gzip.GzipFile(fileobj=file, mode="rb")
    elif kind == "bz2":
        import bz2

        raw = bz2.BZ2File(file)
    elif kind == "xz":
        import lzma

        raw = lzma.LZMAFile(file)  # noqa: SIM115 - as above
    else:
        raw = _zstd().ZstdFile(file, "rb")
    return io.BufferedReader(raw, _BUFFER)


def compressor(kind: str) -> Callable[[], Compressor]:
    """What makes a compressor, one for each member.

    Args:
        kind: as for `decompressed`.

    Raises:
        ImportError: this Python cannot write it; the text says what to install.
    """
    if kind == "gzip":
        import zlib

        return lambda: zlib.compressobj(wbits=31)
    if kind == "bz2":
        import bz2

        return bz2.BZ2Compressor
    if kind == "xz":
        import lzma

        return lzma.LZMACompressor
    return cast("Callable[[], Compressor]", _zstd().ZstdCompressor)


def _zstd() -> Any:
    # Since 3.14 Python has it; backports.zstd is the same for older ones.
    error: ImportError | None = None
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(module)
        except ImportError as raised:
            error = raised
    raise ImportError(
        f"files with .zst need Python 3.14, or the package backports.zstd: pip install 'conveyor[files]' ({error})"
    ) from error
