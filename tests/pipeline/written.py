"""A run that writes files, as a process of its own that tests kill: `python written.py FOLDER KIND METHOD RESUME`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conveyor import Pipeline, read_csv

COUNT = 3000  # so many that a run lasts longer than it takes to write down what is done


class Parts:
    """0 to 3 results of an item, which it also appends to a file in one write; it takes a moment."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, row: dict[str, str]) -> Iterator[dict[str, str]]:
        time.sleep(0.001)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{row['number']}\n".encode())
        os.close(fd)
        yield from parts(row)


def parts(row: dict[str, str]) -> Iterator[dict[str, str]]:
    for part in range(int(row["number"]) % 4):
        yield {"number": row["number"], "part": str(part)}


def one(row: dict[str, str]) -> dict[str, str]:
    time.sleep(0.0003)
    return row


def is_odd(row: dict[str, str]) -> str:
    return "odd" if int(row["number"]) % 2 else "even"


def make(folder: Path, kind: str) -> Pipeline[Any]:
    """The pipeline of that kind, which writes to `out.KIND`, or to two files and a table."""
    rows = Pipeline(read_csv([folder / "in.1.csv", folder / "in.2.csv.gz"]))
    stages = rows.flat_map(Parts(str(folder / "log")), workers=2).map(one, workers=2)
    if kind == "many":
        even = Pipeline().to(folder / "even.csv")
        odd = Pipeline().to(f"sqlite:///{folder}/odd.db?table=rows")
        return stages.tee(folder / "all.jsonl.gz").split(is_odd, {"odd": odd, "even": even})
    return stages.to(f"sqlite:///{folder}/out.db?table=rows" if kind == "db" else folder / f"out.{kind}")


def main(folder: Path, kind: str, method: Any, resume: str) -> None:
    make(folder, kind).run(start_method=method, resume=folder / "state.db" if resume == "resume" else None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
