"""Functions for stages, at the top of a module so that every start method can send them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def same(item: Any) -> Any:
    return item


def double(item: int) -> int:
    return 2 * item


def is_odd(item: int) -> bool:
    return item % 2 == 1


def thrice(item: int) -> Iterator[int]:
    yield from (item, item, item)


def pair(item: Any) -> tuple[Any, Any]:
    return item, item


def pid_of(_: Any) -> int:
    return os.getpid()


def fail_on_seven(item: int) -> int:
    if item == 7:
        raise KeyError("seven")
    return item


def always_fails(item: Any) -> Any:
    raise ValueError(f"no {item}")


class Picky(Exception):
    """Cannot be made from its arguments, as many exceptions in libraries cannot."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raises_picky(item: int) -> int:
    raise Picky(item, item)


def kill_on_seven(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def exit_on_seven(item: int) -> int:
    if item == 7:
        os._exit(3)
    return item


def always_dies(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def sleep_on_seven(item: int) -> int:
    if item == 7:
        time.sleep(3600)
    return item


async def async_sleep_on_seven(item: int) -> int:
    if item == 7:
        await asyncio.sleep(3600)
    return item


async def async_double(item: int) -> int:
    await asyncio.sleep(0)
    return 2 * item


class Counting:
    """A stage with a life of its own in each worker; leaves a trace of it in files."""

    folder = ""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.count = -1

    def _note(self, what: str) -> None:
        Path(self.folder, f"{what}-{os.getpid()}-{threading.get_ident()}").touch()

    def setup(self) -> None:
        self.count = 0
        self._note("setup")

    def __call__(self, item: Any) -> Any:
        assert self.count >= 0, "setup was not called"
        self.count += 1
        return item

    def teardown(self) -> None:
        self._note("teardown")


class MadeByWorkers:
    """Given as a class, it is made in each worker, and need not be picklable."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, item: int) -> tuple[int, int]:
        with self.lock:
            return item, os.getpid()


class SetupFails:
    """Its setup raises."""

    def setup(self) -> None:
        raise ConnectionError("no database here")

    def __call__(self, item: Any) -> Any:
        return item


class FailsTimes:
    """Fails on each item for the first few attempts, counted in files, so that any worker knows."""

    def __init__(self, folder: str, times: int, how: str = "raise") -> None:
        self.folder = folder
        self.times = times
        self.how = how

    def __call__(self, item: int) -> int:
        for attempt in range(self.times):
            mark = Path(self.folder, f"{item}-{attempt}")
            if not mark.exists():
                mark.touch()
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(f"attempt {attempt} at {item}")
        return item


class Gate:
    """Says for each item that it has begun, and waits until a file is there."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, item: Any) -> Any:
        mark = Path(self.folder, f"begun-{item}")
        mark.with_suffix(".new").write_text(str(os.getpid()))
        mark.with_suffix(".new").rename(mark)
        gate = Path(self.folder, "open")
        while not gate.exists():
            time.sleep(0.002)
        return item


class Log:
    """Appends each item to a file, in one write."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, item: Any) -> Any:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{item}\n".encode())
        os.close(fd)
        return item


def merge_add(total: int, item: int) -> int:
    return total + item


def endless_results(item: int) -> Iterator[bytes]:
    while True:
        yield bytes(1000)


def with_key_log(item: tuple[str, int]) -> tuple[str, int, int]:
    return (*item, os.getpid())


def first_of(item: tuple[Any, ...]) -> Any:
    return item[0]


def slow_item(item: Any) -> Any:
    """A hundredth of a second, without a processor."""
    time.sleep(0.01)
    return item


def span(item: int) -> range:
    """As many results as the item says, all different."""
    return range(1_000_000 * item, 1_000_000 * item + item)


def total_of(item: bytes) -> bytes:
    """The item again, after every byte of it was looked at."""
    assert item.count(b"x") == len(item)
    return item


def add_one(array: Any) -> Any:
    return array + 1


class DiesFourTimes:
    """Kills its process on the items 3, 28, 53 and 78, the first time."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        if item % 25 == 3:
            mark = Path(self.folder, f"died-{item}")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return item
