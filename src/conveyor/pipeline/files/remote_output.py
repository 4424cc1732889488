"""RemoteOutput: a file at a URL that fsspec knows, which is there when it is whole."""

from __future__ import annotations

import contextlib
from typing import Any

from .location import remote
from .optional import need

__all__ = ["RemoteOutput"]


class RemoteOutput:
    """A file at a URL. A server that can keeps it unseen until all of it is there; else it is NAME.partial until then.

    Args:
        address: the URL.

    Raises:
        OSError: it cannot be written.
        ImportError, ValueError: as of `remote`.
    """

    def __init__(self, address: str) -> None:
        self._system, self._name = remote(address)
        self._beside: str | None = f"{self._name}.partial"
        self._file: Any = self._system.open(self._beside, "wb", autocommit=False)
        if _keeps_unseen(self._file):
            _discard(self._file)
            self._beside = None
            self._file = self._system.open(self._name, "wb", autocommit=False)
        self._written = 0

    def write(self, data: bytes, /) -> None:
        """Add bytes."""
        self._file.write(data)
        self._written += len(data)

    def tell(self) -> int:
        """How many there are."""
        return self._written

    def flush(self, durable: bool) -> None:
        """Nothing: a server keeps none of them before it has all."""

    def publish(self) -> None:
        """All are there: they are the file from now on."""
        self._file.close()
        if self._beside is None:
            self._file.commit()
        else:
            self._system.mv(self._beside, self._name)

    def abandon(self) -> str | None:
        """They will not be the file. Returns where they lie, if they do."""
        if self._beside is None:
            _discard(self._file)
            return None
        with contextlib.suppress(Exception):
            self._file.close()
        if self._written:
            return str(self._system.unstrip_protocol(self._beside))
        with contextlib.suppress(Exception):
            self._system.rm(self._beside)
        return None


def _keeps_unseen(file: Any) -> bool:
    """Whether what is written to it is to be seen only after `commit`."""
    base: Any = need("fsspec.spec", "files", "writing to a URL").AbstractBufferedFile
    commit: Any = getattr(file.__class__, "commit", base.commit)
    return getattr(file, "autocommit", True) is False and commit is not base.commit


def _discard(file: Any) -> None:
    with contextlib.suppress(Exception):
        file.discard()
    with contextlib.suppress(AttributeError):
        file.closed = True  # else it would be sent when it is garbage
