"""What watching costs: `python benchmarks/watching.py [ROUNDS]`.

Small tuples from one process to another, in rounds that alternate: alone, and while `conveyor top -d 0.2` watches on a
terminal of its own, and `conveyor dash` for a page that is open. Then how long `conveyor top --once --json` and
`conveyor ls` take, beside `import rich`, with what is there, and with 100 queues of 20 processes.
"""

from __future__ import annotations

import os
import pty
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from watched import Served, many, processor_seconds

import conveyor

SECONDS = 1.0
STARTS = {
    "import rich": ["-c", "import rich"],
    "conveyor top --once --json": ["-m", "conveyor", "top", "--once", "--json"],
    "conveyor ls": ["-m", "conveyor", "ls"],
}


def rate() -> float:
    """Items per second, from one process to another."""
    queue: conveyor.Queue[tuple[int, str] | None] = conveyor.Queue(10_000, label="watched")
    if (pid := os.fork()) == 0:
        end = time.monotonic() + SECONDS
        number = 0
        while time.monotonic() < end:
            for number in range(number, number + 1000):  # noqa: B020 - goes on where it was
                queue.put((number, "item"))
        queue.put(None)
        os._exit(0)
    begun = time.perf_counter()
    count = 0
    while queue.get() is not None:
        count += 1
    found = count / (time.perf_counter() - begun)
    os.waitpid(pid, 0)
    return found


def watched(measure: Callable[[], float], *, dash: bool) -> tuple[float, float]:
    """The same while somebody watches; and the share of a processor that those who watch took."""
    with ExitStack() as stack:
        pids = [stack.enter_context(top())]
        if dash:
            page = stack.enter_context(Served())
            stack.enter_context(page.streamed())
            pids.append(page.pid)
        time.sleep(1.5)  # its start is none of what is measured
        begun = time.perf_counter()
        before = [processor_seconds(pid) for pid in pids]
        found = measure()
        spent = sum(processor_seconds(pid) for pid in pids) - sum(before)
        return found, spent / (time.perf_counter() - begun)


@contextmanager
def top() -> Iterator[int]:
    """`conveyor top -d 0.2` on a terminal; its pid."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "conveyor", "top", "-d", "0.2"])

    if (reader := os.fork()) == 0:  # not a thread: it would take turns with what is measured
        try:
            while os.read(terminal, 65536):
                pass
        except OSError:
            pass  # it has ended
        os._exit(0)
    os.close(terminal)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        for each in (pid, reader):
            os.waitpid(each, 0)


def _nothing() -> float:
    time.sleep(5)
    return 0.0


def starts(title: str) -> None:
    """How long each of `STARTS` takes."""
    for name, words in STARTS.items():
        took: list[float] = []
        for _ in range(5):
            begun = time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            took.append((time.perf_counter() - begun) * 1e3)
        print(f"{name}, {title}: {min(took):.0f} ms at best, {statistics.median(took):.0f} in the middle")


def main() -> None:
    """Print all of it."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    alone: list[float] = []
    beside: list[float] = []
    shares: list[float] = []
    for _ in range(rounds):
        alone.append(rate())
        found, share = watched(rate, dash=True)
        beside.append(found)
        shares.append(share)
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    print(
        f"items per second: {statistics.median(alone):,.0f} alone, {statistics.median(beside):,.0f} watched"
    )
    print(f"watched / alone: {statistics.median(ratios):.3f} in the middle, {min(ratios):.3f} at worst")
    starts("as it is")
    print(f"top and dash: {statistics.median(shares):.1%} of a processor")
    with many():
        _, share = watched(_nothing, dash=False)
        print(f"top -d 0.2, 100 queues of 20 processes: {share:.1%} of a processor")
        starts("100 queues of 20 processes")


if __name__ == "__main__":
    main()
