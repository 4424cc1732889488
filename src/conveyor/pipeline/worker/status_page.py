"""StatusPage: a bit of memory that a worker writes on, and that its engine reads, also when the worker is dead."""

from __future__ import annotations

import faulthandler  # here, so that no copy of the program has to import it
import mmap
import os
import re
import time
from typing import TYPE_CHECKING, BinaryIO

from ..._memory.passing import shared_descriptor_for_child
from ..._native import Meter
from .identity_words import IdentityWords

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._memory.passing import Descriptor

__all__ = ["STEPS", "StatusPage", "step_seconds"]

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)
# As in core/include/conveyor/worker/meter.hpp.
# fmt: off
_SINCE, _BUSY, _WAITED, _ITEMS, _SLOW, _SETUP, _ARRIVED, _LINK, _TEARDOWN, _UNWANTED, _ATTEMPT, _RANK, _START, _SEED, _LAST = range(15)  # noqa: E501
# fmt: on
_HISTOGRAM = 16
# The word on attempts has the items finished before, times this, and the number.
_ATTEMPTS = 1 << 20
STEPS = 256
"""How many steps the histogram of durations has."""
# Behind the meter's words lies what faulthandler writes when native code crashes.
_NOTE = 4096
_NO_FIGURES = memoryview(bytes(_NOTE)).cast("Q")


def step_seconds(step: int) -> float:
    """The middle of what falls into this step of the histogram, in seconds."""
    low = (4 + step % 4) * 2.0 ** (step // 4 - 2)
    return (low + 2.0 ** (step // 4 - 3)) * 1e-9


class StatusPage:
    """Figures of one worker, and where native code crashed it.

    The engine makes one for each worker and passes it on; it outlives the worker.

    Args:
        fd: of an existing one; -1: for a worker in this process.
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            fd = os.memfd_create("conveyor-status", os.MFD_CLOEXEC)
            os.ftruncate(fd, _NOTE)
        self._fd = fd
        self._map = mmap.mmap(fd, _NOTE)
        self._words = memoryview(self._map).cast("Q")
        self._file: BinaryIO | None = None
        self.identity = IdentityWords(self._words, _RANK)
        """Who the worker is."""
        self.memory: Callable[[], int] = _unknown
        """In the worker: the bytes that it has to itself; 0: not known."""

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (shared_descriptor_for_child(self._fd),)

    def begin_anew(self) -> None:
        """In the engine, of a worker that waits: what follows is another run's."""
        self._words[:_ARRIVED] = _NO_FIGURES[:_ARRIVED]
        self._words[_LINK:] = _NO_FIGURES[_LINK:]

    def meter(self) -> Meter:
        """In the worker, when it is set up: what writes the figures; from now on it works or waits."""
        meter = Meter(self._map)
        meter.begin()
        return meter

    def catch_crashes(self) -> None:
        """In the worker: have a crash of native code write here, unless the program has its own arrangement."""
        if not faulthandler.is_enabled():
            # The file object must live as long as the process: faulthandler keeps only its number.
            self._file = os.fdopen(self._fd, "wb", buffering=0, closefd=False)
            os.lseek(self._fd, _NOTE, os.SEEK_SET)
            faulthandler.enable(self._file, all_threads=False)

    @property
    def since(self) -> float:
        """When the current item was begun, by `time.monotonic`; 0: none is."""
        return self._words[_SINCE] * 1e-9

    @property
    def busy(self) -> int:
        """Nanoseconds spent on items."""
        return self._words[_BUSY]

    @property
    def waited(self) -> int:
        """Nanoseconds without an item."""
        return self._words[_WAITED]

    @property
    def items(self) -> int:
        """Items finished."""
        return self._words[_ITEMS]

    @property
    def link(self) -> int:
        """Which of the worker's functions is at work, from 0."""
        return self._words[_LINK]

    def note_link(self, position: int) -> None:
        """In the worker: say which function is at work."""
        self._words[_LINK] = position

    def note_begin(self, nanoseconds: int) -> None:
        """For a worker that cannot write here itself: it has something to do since then, by `time.monotonic_ns`."""
        self._words[_SINCE] = nanoseconds

    def note_done(self, busy: int, items: int, histogram: dict[int, int]) -> None:
        """For a worker that cannot write here itself: it has done these items.

        Args:
            busy: nanoseconds that they took.
            items: how many.
            histogram: how many took how long; see `step_seconds`.
        """
        words = self._words
        words[_SINCE] = 0
        words[_BUSY] += busy
        words[_ITEMS] += items
        for step, count in histogram.items():
            words[_HISTOGRAM + step] += count

    def attempts(self, finished: int) -> int:
        """How often it has begun an item: once, unless it tries items again by itself and has said so.

        Args:
            finished: how many it has finished before that item. Two words cannot be written at once; by this number the
                note on one item is told from that on another.
        """
        before, number = divmod(self._words[_ATTEMPT], _ATTEMPTS)
        return max(number, 1) if before == finished else 1

    def note_attempt(self, number: int) -> None:
        """In the worker: say how often it has begun the current item."""
        self._words[_ATTEMPT] = self._words[_ITEMS] * _ATTEMPTS + min(number, _ATTEMPTS - 1)

    def arrive(self) -> None:
        """In the worker: say that its process runs conveyor's code."""
        self._words[_ARRIVED] = 1

    @property
    def arrived(self) -> bool:
        """Whether the worker's process has come so far as to run conveyor's code."""
        return bool(self._words[_ARRIVED])

    @property
    def setup_since(self) -> float:
        """When its setup began, by `time.monotonic`; 0: it has not begun, or is done."""
        return self._words[_SETUP] * 1e-9

    @property
    def teardown_since(self) -> float:
        """When its teardown began, by `time.monotonic`; 0: it has not. That it is done is told by `LEFT`."""
        return self._words[_TEARDOWN] * 1e-9

    def note_setup(self, begins: bool) -> None:
        """In the worker: its setup begins, or is done."""
        self._words[_SETUP] = time.monotonic_ns() if begins else 0

    def note_teardown(self) -> None:
        """In the worker: its teardown begins."""
        self._words[_TEARDOWN] = time.monotonic_ns()

    def tell_above(self, nanoseconds: int) -> None:
        """Have the worker tell of items that take longer."""
        self._words[_SLOW] = nanoseconds

    def tell_unwanted(self) -> None:
        """Have the worker leave its item if that has very many results: nobody wants what else comes of it."""
        self._words[_UNWANTED] = 1

    @property
    def unwanted(self) -> bool:
        """In the worker: whether nobody wants what else comes of the current item."""
        return self._words[_UNWANTED] != 0

    def histogram(self) -> list[int]:
        """How many items took how long; see `step_seconds`."""
        return self._words[_HISTOGRAM : _HISTOGRAM + STEPS].tolist()

    def crash(self, most: int = 3) -> tuple[str, ...]:
        """Where native code crashed: the innermost calls, as in `tools.py:12 in parse`.

        Args:
            most: how many calls at most; none of conveyor's own are among them.
        """
        text = os.pread(self._fd, 65536, _NOTE).decode("utf-8", "replace")
        calls: list[str] = []
        for frame in _FRAME.finditer(text):
            if frame["file"].startswith(_PACKAGE) or len(calls) == most:
                break  # what called the user's function, and so on, tells nothing
            calls.append(f"{os.path.basename(frame['file'])}:{frame['line']} in {frame['function']}")  # noqa: PTH119
        return tuple(calls)

    def close(self) -> None:
        """In the engine: let go of it."""
        self._words.release()
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)


def _unknown() -> int:
    return 0


_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - no Path on the way up


def _received(duplicate: Descriptor) -> StatusPage:
    return StatusPage(duplicate.detach())
