"""One episode: some producers and consumers on one queue, and somebody who is hard on them."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from audit import Death, Outcome, audit
from workers import STOP, Flag, Task, consume, produce

import conveyor

# So long may the rest take once everybody was told to end; who is not through then, hangs.
PATIENCE = 30.0
# For those of which it is known that they hang.
SHORT_PATIENCE = 8.0


@dataclass(frozen=True)
class Setting:
    """All that chance decides before an episode begins."""

    seed: int
    kind: str
    method: str
    mode: str
    payload: str
    producers: int
    consumers: int
    maxsize: int
    max_bytes: int | None
    seconds: float
    faults: bool
    stops: bool = True

    @classmethod
    def for_recovery(cls, seed: int) -> Setting:
        """Nothing but deaths: how soon do the others go on?"""
        mode = "one" if seed % 2 else "lease"
        return cls(seed, "conveyor", "fork", mode, "small", 2, 2, 1000, None, 3.0, False, False)

    @classmethod
    def drawn(cls, seed: int, kind: str) -> Setting:
        chance = random.Random(seed)
        ours = kind == "conveyor"
        return cls(
            seed,
            kind,
            chance.choices(("fork", "spawn", "forkserver"), (16, 1, 1) if ours else (1, 0, 0))[0],
            chance.choice(("one", "many", "lease", "leases")) if ours else "one",
            chance.choice(("small", "small", "bytes", "array")) if ours else "small",
            chance.randint(1, 3),
            chance.randint(1, 3),
            chance.choice((0, 0, 1, 10, 1000)) if ours else 1000,
            chance.choice((None, None, 8_000_000)) if ours else None,
            chance.uniform(1.0, 3.0),
            chance.random() < 0.5,
        )

    def queue(self) -> Any:
        if self.kind == "multiprocessing":
            return multiprocessing.get_context(self.method).Queue(self.maxsize)
        if self.kind == "faster-fifo":
            from faster_fifo import Queue as FasterFifo  # type: ignore[import-not-found]

            return FasterFifo(10_000_000)
        named = self.seed % 5 == 0
        if named:
            name = f"shm://soak-{os.getpid()}-{self.seed}"
            return conveyor.connect(name, create=True, maxsize=self.maxsize, max_bytes=self.max_bytes)
        return conveyor.Queue(self.maxsize, max_bytes=self.max_bytes)


class Episode:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.chance = random.Random(setting.seed + 1)
        self.folder = Path(tempfile.mkdtemp(prefix="conveyor-soak-"))
        self.flag_path = self.folder / "flag"
        self.flag_path.write_bytes(b"\0")
        self.context: Any = multiprocessing.get_context(setting.method)
        self.queue = setting.queue()
        self.living: dict[int, BaseProcess] = {}
        self.roles: dict[int, bool] = {}  # of every worker there ever was: is it a consumer?
        self.deaths: list[Death] = []
        self.outcome = Outcome()

    def start(self, consumer: bool) -> None:
        worker = len(self.roles)
        self.roles[worker] = consumer
        task = Task(
            str(self.folder), worker, self.chance.getrandbits(30), self.setting.mode, self.setting.payload,
            self.setting.faults,
        )  # fmt: skip
        process = self.context.Process(
            target=consume if consumer else produce, args=(task, self.queue, str(self.flag_path))
        )
        process.start()
        self.living[worker] = process

    def run(self) -> Outcome:
        try:
            for _ in range(self.setting.producers):
                self.start(consumer=False)
            for _ in range(self.setting.consumers):
                self.start(consumer=True)
            self.torment()
            self.end()
            self.judge()
        finally:
            for process in self.living.values():
                process.kill()
                process.join()
            if self.outcome.troubles:
                print(f"the books are in {self.folder}", flush=True)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
            if self.setting.kind == "conveyor" and self.setting.seed % 5 == 0:
                conveyor.remove(f"shm://soak-{os.getpid()}-{self.setting.seed}")
        return self.outcome

    def torment(self) -> None:
        deadline = time.monotonic() + self.setting.seconds
        pause = 0.02 if self.setting.method == "fork" else 0.3
        stopped: list[int] = []
        while time.monotonic() < deadline:
            time.sleep(self.chance.uniform(0, 2 * pause))  # when it strikes is chance
            worker = self.chance.choice(list(self.living))
            fault = self.chance.random()
            if fault < 0.1 and self.setting.stops:
                os.kill(self.living[worker].pid or 0, signal.SIGSTOP)
                stopped.append(worker)
                self.outcome.stops += 1
                continue
            while stopped and self.chance.random() < 0.7:
                self.go_on(stopped.pop())
            self.strike(worker, signal.SIGTERM if fault < 0.2 else signal.SIGKILL)
            self.start(self.roles[worker])
        for worker in stopped:
            self.go_on(worker)

    def go_on(self, worker: int) -> None:
        if worker in self.living:
            os.kill(self.living[worker].pid or 0, signal.SIGCONT)

    def strike(self, worker: int, number: signal.Signals) -> None:
        process = self.living.pop(worker)
        if process.exitcode is not None:
            self.outcome.failed += 1
            self.trouble(f"worker {worker} ended with {process.exitcode}")
            return
        self.deaths.append(Death(worker, time.monotonic_ns(), self.roles[worker]))
        os.kill(process.pid or 0, number)
        if number == signal.SIGTERM:
            os.kill(process.pid or 0, signal.SIGCONT)
            self.outcome.terms += 1
        else:
            self.outcome.kills += 1
        process.join()
        if process.exitcode != -number:
            self.outcome.failed += 1
            self.trouble(f"worker {worker} ended with {process.exitcode}")
        process.close()

    def await_end(self, consumers: bool) -> None:
        ours = self.setting.kind == "conveyor"
        patience = PATIENCE if ours else SHORT_PATIENCE
        least = self.left() if ours else 0
        deadline = time.monotonic() + patience
        for worker, process in list(self.living.items()):
            if self.roles[worker] is not consumers:
                continue
            while process.exitcode is None and time.monotonic() < deadline:
                process.join(min(0.5, max(0.0, deadline - time.monotonic())))
                # A long backlog is no hang as long as it becomes shorter.
                if ours and consumers and (left := self.left()) < least:
                    least = left
                    deadline = time.monotonic() + patience
            if process.exitcode is None:
                self.outcome.hung += 1
                self.trouble(f"{'consumer' if consumers else 'producer'} {worker} hangs")
                continue
            if process.exitcode != 0:
                self.outcome.failed += 1
                self.trouble(f"worker {worker} ended with {process.exitcode}")
            del self.living[worker]

    def left(self) -> int:
        """Items that nobody has done with."""
        statistics = self.queue.statistics()
        return int(statistics.depth + statistics.leased)

    def trouble(self, what: str) -> None:
        self.outcome.troubles.append(f"{what} in {asdict(self.setting)}")

    def end(self) -> None:
        Flag(str(self.flag_path)).set(STOP)
        self.await_end(consumers=False)
        if self.setting.kind == "conveyor":
            self.queue.shutdown()
        self.await_end(consumers=True)

    def judge(self) -> None:
        producers = [worker for worker, consumer in self.roles.items() if not consumer]
        consumers = [worker for worker, consumer in self.roles.items() if consumer]
        found = audit(self.folder, producers, consumers, self.deaths, self.setting.mode)
        if not found.sound:
            counts = {name: getattr(found, name) for name in ("lost", "doubled", "damaged", "disordered")}
            self.trouble(", ".join(f"{name} {count}" for name, count in counts.items() if count))
        self.outcome.add(found)
        if self.setting.kind != "conveyor" or self.outcome.hung:
            return
        if not self.queue.empty():
            self.trouble(f"{self.queue.qsize()} items are left")
        statistics = self.queue.statistics()  # notices the dead
        if (walked := self.queue._check()) != "":
            self.trouble(f"the segment is not sound: {walked}")
        if statistics.memory_lent or statistics.leased or statistics.returned:
            self.trouble(f"something is still out: {statistics}")
