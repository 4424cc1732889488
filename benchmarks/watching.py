"""What watching costs: `python benchmarks/watching.py [ROUNDS]`.

Small tuples from one process to another, in rounds that alternate: alone, and while `conveyor top -d 0.2` watches on a
terminal of its own. Then how long `conveyor top --once --json` and `conveyor ls` take, beside `import rich`, with what
is there, and with 100 queues of 20 processes.
"""

from __future__ import annotations

import os
import pty
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Thread

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


def watched(measure: Callable[[], float]) -> tuple[float, float]:
    """The same while somebody watches; and the share of a processor that this one took."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "conveyor", "top", "-d", "0.2"])

    def show() -> None:
        try:
            while os.read(terminal, 65536):
                pass
        except OSError:
            pass  # it has ended

    Thread(target=show, daemon=True).start()
    time.sleep(1.5)  # its start is none of what is measured
    begun, before = time.perf_counter(), _processor_seconds(pid)
    found = measure()
    share = (_processor_seconds(pid) - before) / (time.perf_counter() - begun)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    return found, share


def _nothing() -> float:
    time.sleep(5)
    return 0.0


def _processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def starts(title: str) -> None:
    """How long each of `STARTS` takes."""
    for name, words in STARTS.items():
        took: list[float] = []
        for _ in range(5):
            begun = time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            took.append((time.perf_counter() - begun) * 1e3)
        print(f"{name}, {title}: {min(took):.0f} ms at best, {statistics.median(took):.0f} in the middle")


def many() -> Callable[[], None]:
    """100 queues that 20 processes have; what ends them."""
    queues: list[conveyor.Queue[int]] = [conveyor.Queue(label=f"many-{number}") for number in range(100)]
    pids: list[int] = []
    for number in range(20):
        if (pid := os.fork()) == 0:
            for queue in queues:
                queue.put(number)
            signal.pause()
        pids.append(pid)

    def end() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    return end


def main() -> None:
    """Print all of it."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    alone: list[float] = []
    beside: list[float] = []
    shares: list[float] = []
    for _ in range(rounds):
        alone.append(rate())
        found, share = watched(rate)
        beside.append(found)
        shares.append(share)
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    print(
        f"items per second: {statistics.median(alone):,.0f} alone, {statistics.median(beside):,.0f} watched"
    )
    print(f"watched / alone: {statistics.median(ratios):.3f} in the middle, {min(ratios):.3f} at worst")
    starts("as it is")
    end = many()
    try:
        _, share = watched(_nothing)
        print(
            f"top -d 0.2: {statistics.median(shares):.1%} of a processor, with 100 queues of 20 processes {share:.1%}"
        )
        starts("100 queues of 20 processes")
    finally:
        end()


if __name__ == "__main__":
    main()
