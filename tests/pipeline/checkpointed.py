"""A run with a state file, as a process of its own that tests kill: `python checkpointed.py FOLDER KIND METHOD`."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conveyor import Pipeline, keyed, read_lines

COUNT = 1200


class Log:
    """Appends each item to a file in one write, and takes a moment."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, item: Any) -> Any:
        time.sleep(0.001)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{item}\n".encode())
        os.close(fd)
        return item


def is_even(item: Any) -> bool:
    return int(item) % 2 == 0


def some(item: Any) -> Iterator[str]:
    """0 to 3 results, and very many for a few."""
    number = int(item)
    for part in range(1500 if number == 250 else number % 3):
        yield f"{number}.{part}"


def total(items: list[Any]) -> int:
    time.sleep(0.002)
    return sum(int(item) for item in items)


def shuffled() -> Iterator[tuple[int, str]]:
    """In another order each time, as a table without order."""
    numbers = list(range(COUNT))
    random.Random(os.getpid()).shuffle(numbers)
    yield from ((number, f"row {number}") for number in numbers)


def first_of(row: tuple[int, str]) -> int:
    return row[0]


class log_first:  # noqa: N801 - used as a function
    """Logs the number of a row, which goes on."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self, row: tuple[int, str]) -> int:
        return int(self.log(row[0]))


def add(so_far: int, value: int) -> int:
    return so_far + value


def make(folder: Path, kind: str) -> Pipeline[Any]:
    """The pipeline of that kind; it logs what it works on in `log`, and leaves results in `out`."""
    log = Log(str(folder / "log"))
    if kind == "list":
        return Pipeline(list(range(COUNT))).map(log, workers=2).to(folder / "out")
    if kind == "filter":
        stages = Pipeline(range(COUNT), ordered=True).map(log, workers=2).filter(is_even, workers=1)
        return stages.to(folder / "out")
    if kind == "lines":
        return (
            Pipeline(read_lines(folder / "in"))
            .flat_map(some, workers=2)
            .map(log, workers=2)
            .to(folder / "out")
        )
    if kind == "keyed":
        return Pipeline(keyed(shuffled, key=first_of)).map(log_first(log), workers=2).to(folder / "out")
    if kind == "merge":
        first = Pipeline(range(0, COUNT, 3)).map(log, workers=1)
        others = Pipeline(list(range(1, COUNT, 3))), Pipeline(read_lines(folder / "in")).map(log, threads=1)
        return Pipeline.merge(first, *others, weights=(2, 1, 1)).map(log, workers=1).to(folder / "out")
    if kind == "zip":
        return Pipeline.zip(range(COUNT), read_lines(folder / "in")).map(log, workers=2).to(folder / "out")
    assert kind == "reduce"
    return Pipeline(range(COUNT)).map(log, workers=2).batch(7).map(total, workers=1).reduce(add, 0)


def main(folder: Path, kind: str, method: Any) -> None:
    report = make(folder, kind).run(resume=folder / "state.db", start_method=method)
    (folder / "result").write_text(f"{report.result} {report.taken} {report.resumed}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
