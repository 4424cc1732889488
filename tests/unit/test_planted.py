"""Other things in the places of a named queue's files: an error names the place, nothing hangs, `remove` clears it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

import conveyor

FOLDER = Path("/dev/shm")
NOBODY = 65534


def symlink(at: Path) -> None:
    at.symlink_to("/dev/null")


def dangling_symlink(at: Path) -> None:
    at.symlink_to(at.with_name(f"{at.name}.nowhere"))


def circle(at: Path) -> None:
    at.symlink_to(at)


def folder(at: Path) -> None:
    at.mkdir()


def regular_file(at: Path) -> None:
    at.write_text("text")


def unix_socket(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(at))


def open_fifo(at: Path) -> None:
    os.mkfifo(at)
    at.chmod(0o666)


def fifo_of_another(at: Path) -> None:
    os.mkfifo(at, 0o600)
    os.chown(at, NOBODY, NOBODY)


OURS = [symlink, dangling_symlink, circle, folder, regular_file, unix_socket, open_fifo]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def name() -> Iterator[str]:
    name = f"planted-{os.getpid()}"
    yield name
    for path in FOLDER.glob(f"conveyor.{name}*"):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def watch_by_selecting(queue: Any) -> None:
    wait([queue._reader], 0)


def watch_by_number(queue: Any) -> None:
    queue._reader.fileno()


def watch_by_coroutine(queue: Any) -> None:
    async def take() -> None:
        await asyncio.wait_for(queue.aget(), 5)

    asyncio.run(take())


WAYS = [watch_by_selecting, watch_by_number, watch_by_coroutine]


@pytest.mark.parametrize("watch", WAYS)
@pytest.mark.parametrize("plant", OURS)
def test_in_the_place_of_the_descriptor(name: str, plant: Callable[[Path], None], watch: Any) -> None:
    ready = FOLDER / f"conveyor.{name}.ready"
    plant(ready)
    queue = conveyor.connect(f"shm://{name}")
    with pytest.raises(
        conveyor.CorruptSegment, match=f"^{ready}, by which .*{name}.* is no FIFO of conveyor's; remove"
    ):
        watch(queue)
    queue.put(1)  # nobody needs it for that
    assert queue.get(timeout=1) == 1
    del queue
    conveyor.remove(f"shm://{name}")
    assert not os.path.lexists(ready)
    queue = conveyor.connect(f"shm://{name}", create=True)
    queue.put(1)
    assert wait([queue._reader], 5) == [queue._reader]  # type: ignore[list-item]


@AS_ROOT
@pytest.mark.parametrize("watch", WAYS)
def test_a_descriptor_of_another_user(name: str, watch: Any) -> None:
    ready = FOLDER / f"conveyor.{name}.ready"
    fifo_of_another(ready)
    queue = conveyor.connect(f"shm://{name}")
    with pytest.raises(PermissionError, match=f"{ready}, .* belongs to another user"):
        watch(queue)


@pytest.mark.parametrize("create", [None, False])
@pytest.mark.parametrize("plant", OURS)
def test_in_the_place_of_the_queue(name: str, plant: Callable[[Path], None], create: bool | None) -> None:
    plant(FOLDER / f"conveyor.{name}")
    with pytest.raises(conveyor.CorruptSegment, match=r"regular file|fewer than a header"):
        conveyor.connect(f"shm://{name}", create=create)
    with pytest.raises(FileExistsError, match=f"queue '{name}'"):
        conveyor.connect(f"shm://{name}", create=True)
