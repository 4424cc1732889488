"""Functions that the tests of `conveyor map` name on its command line.

What has to wait does so at a named pipe: the test knows when it has begun, and says when it may go on.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn


def up(item: str) -> str:
    return item.upper()


def same(item: Any) -> Any:
    return item


def number(item: str) -> int:
    return int(item)


def nothing(item: str) -> None:
    return None


def even_only(item: str) -> str | None:
    return item if int(item) % 2 == 0 else None


def as_dict(item: str) -> dict[str, str]:
    return {"item": item}


def unwritable(item: str) -> set[str]:
    return {item}


def say(item: str) -> str:
    print(f"printed {item}")
    return f"returned {item}"


def read_input(item: str) -> str:
    return repr(sys.stdin.read()) + repr(os.read(0, 10))


def process(item: str) -> str:
    return str(os.getpid())


def leave(item: str) -> NoReturn:
    sys.exit("not today")


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def silent(item: str) -> NoReturn:
    raise Silent


def gate(item: str) -> str:
    """Items named `wait…` report to the pipe `begun` and wait for the pipe `gate`."""
    begin(item)
    if item.startswith("wait"):
        pass_gate()
    if item.startswith("fail"):
        raise ValueError(f"asked to fail by {item}")
    return item


def begin(item: str) -> None:
    """Leave a line that this item has begun in the log, and in the pipe if it is one to wait."""
    folder = Path(os.environ["TEST_FOLDER"])
    line = f"{os.getpid()} {item}\n".encode()
    with (folder / "log").open("ab", buffering=0) as log:
        log.write(line)
    if item.startswith("wait"):
        with (folder / "begun").open("wb", buffering=0) as pipe:
            pipe.write(line)


def pass_gate() -> None:
    """Wait for one byte: the test writes one for each item that may pass."""
    with (Path(os.environ["TEST_FOLDER"]) / "gate").open("rb", buffering=0) as pipe:
        pipe.read(1)


def kill_on_7(item: str) -> str:
    begin(item)
    if item.endswith("7"):
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def segfault_on_7(item: str) -> str:
    if item == "7":
        import ctypes

        ctypes.string_at(0)
    return item


def exit_on_7(item: str) -> str:
    if item == "7":
        os._exit(3)
    return item


def always_exit(item: str) -> NoReturn:
    os._exit(9)


async def asynchronous(item: str) -> str:
    return item


def generator(item: str) -> Any:
    yield item


class Holder:
    @staticmethod
    def method(item: str) -> str:
        return f"held {item}"


not_callable = 5
