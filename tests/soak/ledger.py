"""What each process writes down of what it did, so that a SIGKILL takes none of it away.

One file for each process, one `write` for each record, made when a call has returned, and before it is
begun where that is needed to judge a death in between. A record: what, whose item, its number, when.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_RECORD = struct.Struct("=iiqq")


class What(IntEnum):
    PUT = 1  # put has returned; `number` is the last of a batch
    GOT = 2  # get has returned
    SEEN = 3  # lease has returned
    BEGUN = 4  # acknowledge is about to be called
    ACKNOWLEDGED = 5  # it has returned
    BACK = 6  # given back
    DAMAGED = 7  # what was received is not what was put
    ENDED = 8  # this process has ended by itself, as it should


class Record(NamedTuple):
    what: What
    producer: int
    number: int
    at: int  # time.monotonic_ns


class Book:
    """The file of one process, open for writing."""

    def __init__(self, folder: str, worker: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(os.path.join(folder, str(worker)), flags)  # noqa: PTH118

    def note(self, what: What, producer: int = 0, number: int = 0) -> None:
        os.write(self._fd, _RECORD.pack(what, producer, number, time.monotonic_ns()))


def read(folder: Path, worker: int) -> Iterator[Record]:
    try:
        data = (folder / str(worker)).read_bytes()
    except FileNotFoundError:  # it died before its first line
        return
    for what, producer, number, at in _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size]):
        yield Record(What(what), producer, number, at)
