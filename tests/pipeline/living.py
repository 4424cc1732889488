"""Stages with a life: they leave traces of it in files, and do what they are told to in each part of it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["AsyncLiving", "Living", "living", "traces"]

_GATES: dict[str, threading.Event] = {}


class Living:
    """Notes each event of its life in a file, and then does what is said for it.

    Args:
        folder: of the files.
        ways: for `setup`, `item` or `teardown`: what to call, with the item, or with None.
    """

    def __init__(self, folder: Path, **ways: Callable[[Any], object]) -> None:
        self.folder = str(folder)
        self.ways = ways
        self.events: list[str] = []

    def note(self, event: str) -> None:
        self.events.append(event)
        name = f"{event}-{os.getpid()}-{threading.get_ident()}-{id(self)}-{len(self.events)}"
        Path(self.folder, name).touch()

    def do(self, event: str, item: Any = None) -> None:
        if event in self.ways:
            self.ways[event](item)

    def setup(self) -> None:
        self.note("setup")
        self.do("setup")

    def __call__(self, item: Any) -> Any:
        assert self.events == ["setup"], self.events
        self.do("item", item)
        return item

    def teardown(self) -> None:
        self.note("teardown")
        self.do("teardown")


class AsyncLiving(Living):
    """The same as a coroutine; what is said may return something to be awaited."""

    async def ado(self, event: str, item: Any = None) -> None:
        found = self.ways[event](item) if event in self.ways else None
        await (found if asyncio.iscoroutine(found) else asyncio.sleep(0))

    async def setup(self) -> None:  # type: ignore[override]
        self.note("setup")
        await self.ado("setup")

    async def __call__(self, item: Any) -> Any:
        assert self.events == ["setup"], self.events
        await self.ado("item", item)
        return item

    async def teardown(self) -> None:  # type: ignore[override]
        self.note("teardown")
        await self.ado("teardown")


def living(where: dict[str, Any], folder: Path, **ways: Callable[[Any], object]) -> Living:
    """One that fits a stage with these options."""
    return (AsyncLiving if "concurrency" in where else Living)(folder, **ways)


def traces(folder: Path, event: str) -> int:
    """How many have come to that event."""
    return len(list(folder.glob(f"{event}-*")))


def refuse(_: Any) -> None:
    raise PermissionError("not me")


def exit_with_nine(_: Any) -> None:
    raise SystemExit(9)


def leave(_: Any) -> None:
    os._exit(0)


def die(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(_: Any) -> None:
    time.sleep(3600)


async def hang_in_loop(_: Any) -> None:
    await asyncio.sleep(3600)


def take_six_seconds(_: Any) -> None:
    time.sleep(6)  # longer than is waited for a worker that has nothing left to do


def take_a_little(_: Any) -> None:
    time.sleep(0.02)


def raise_what_is_large(_: Any) -> None:
    raise ValueError("x" * (257 * 2**20))


def fail_on_three(item: int) -> None:
    if item == 3:
        raise KeyError("three")


def hang_on_two_fail_on_three(item: int) -> None:
    if item == 2:
        time.sleep(3600)
    fail_on_three(item)


def wait_at_gate(_: Any) -> None:
    """For threads, which cannot be killed."""
    _GATES.setdefault("gate", threading.Event()).wait(60)


def open_gate() -> None:
    _GATES.pop("gate", threading.Event()).set()
