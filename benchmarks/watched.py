"""What is watched, and a dashboard that watches it: for the benchmarks of watching."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import conveyor

_READER = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
connection.request("GET", "/events?view=queues")
answer = connection.getresponse()
if answer.status == 200:
    print("open", flush=True)
    while answer.readline():
        pass
"""

__all__ = ["Served", "many", "processor_seconds", "resident_bytes"]


@contextmanager
def many(queues: int = 100, processes: int = 20) -> Iterator[None]:
    """So many queues that so many processes have, each with items in it."""
    made: list[conveyor.Queue[int]] = [conveyor.Queue(label=f"many-{number}") for number in range(queues)]
    pids: list[int] = []
    try:
        for number in range(processes):
            if (pid := os.fork()) == 0:
                for queue in made:
                    queue.put(number)
                signal.pause()
            pids.append(pid)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def processor_seconds(pid: int) -> float:
    """What a process has taken."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What a process has in RAM."""
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Served:
    """`conveyor dash`, for as long as the block lasts.

    Attributes:
        url: of its page.
        pid: its process.
    """

    def __enter__(self) -> Served:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "conveyor", "dash", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.pid = self._process.pid
        return self

    def __exit__(self, *_: Any) -> None:
        with self._process:
            self._process.terminate()

    @contextmanager
    def streamed(self) -> Iterator[None]:
        """Somebody has the page open, and reads what comes every second."""
        # Not a thread: it would take turns with what is measured.
        reader = subprocess.Popen(
            [sys.executable, "-c", _READER, urlsplit(self.url).netloc], stdout=subprocess.PIPE
        )
        assert reader.stdout is not None
        assert reader.stdout.readline(), "the stream was refused"
        try:
            yield
        finally:
            assert reader.poll() is None, "the stream has ended"
            with reader:
                reader.kill()
