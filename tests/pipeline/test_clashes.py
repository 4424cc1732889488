"""Ends that would destroy what the run reads, and sources that are not what they seem: refused before anything runs."""

from __future__ import annotations

import csv
import functools
import itertools
import multiprocessing
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor import Pipeline, PipelineError, read_lines

TEXT = "1,2\n3,4\n"


def lines_of(path: Any) -> Iterator[str]:
    with Path(path).open() as file:
        yield from file


async def async_lines_of(path: Any) -> AsyncIterator[str]:
    for line in lines_of(path):
        yield line


class Rows:
    def __init__(self, path: str) -> None:
        self.path = path

    def __iter__(self) -> Iterator[str]:
        return lines_of(self.path)


def opened(path: str) -> Any:
    return Path(path).open()


def raw(path: str) -> Any:
    return Path(path).open("rb", buffering=0)


def by_default(path: str) -> Callable[[], Iterator[str]]:
    def lines(path: str = path) -> Iterator[str]:
        return lines_of(path)

    return lines


SOURCES: dict[str, Callable[[str], Any]] = {
    "read_lines": read_lines,
    "an iterator of these": lambda path: iter(read_lines(path)),
    "an open file": opened,
    "a raw file": raw,
    "map": lambda path: map(str.strip, opened(path)),
    "a generator expression": lambda path: (line for line in opened(path)),
    "csv": lambda path: csv.reader(opened(path)),
    "csv by names": lambda path: csv.DictReader(opened(path)),
    "islice": lambda path: itertools.islice(opened(path), 5),
    "zip of enumerate": lambda path: zip(range(9), enumerate(opened(path)), strict=False),
    "a generator with a path": lines_of,
    "a generator with a Path": lambda path: lines_of(Path(path)),
    "a partial function": lambda path: functools.partial(lines_of, path),
    "a closure": lambda path: lambda: lines_of(path),
    "a default": by_default,
    "an object": Rows,
    "a method": lambda path: Rows(path).__iter__,
    "an async generator": async_lines_of,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # that of the source, which is not iterated over
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("how", ["path", "relative", "symlink", "hardlink", "tee", "branch"])
def test_the_file_that_is_read_is_not_emptied(
    source: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    target: Any = {"relative": "./data.csv", "symlink": tmp_path / "soft", "hardlink": "hard"}.get(how, path)
    if how == "symlink":
        target.symlink_to(path)
    elif how == "hardlink":
        Path(target).hardlink_to(path)
    pipeline = Pipeline(SOURCES[source](str(path))).map(str, threads=1)
    if how == "branch":
        pipeline = pipeline.split(len, {1: Pipeline().to(target)}, otherwise=Pipeline().to(list))
    else:
        pipeline = pipeline.tee(target) if how == "tee" else pipeline.to(target)
    with pytest.raises(PipelineError, match="which the source reads: it would be emptied before"):
        pipeline.run()
    assert path.read_text() == TEXT


def test_another_file_may_be_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text(TEXT)
    for _ in range(2):
        Pipeline(read_lines(source)).map(str, threads=1, ordered=True).to(target).run()
        assert target.read_text() == TEXT


def test_two_ends_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=r"stages 'tee out' and 'to \./out' both write to"):
        Pipeline(range(3)).tee("out").to("./out").run()
    assert not list(tmp_path.iterdir())
    with Path("out").open("w") as file:
        Pipeline(range(2)).tee(file).to(file).run()
    assert sorted(Path("out").read_text().split()) == ["0", "0", "1", "1"]


def test_the_state_of_a_run_is_no_end(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="also given for resume"):
        Pipeline(range(3)).to(tmp_path / "state").run(resume=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_results_do_not_go_where_items_come_from() -> None:
    numbers = [1, 2]
    with pytest.raises(PipelineError, match="would never end"):
        Pipeline(numbers).map(abs, threads=1).to(numbers).run()
    assert numbers == [1, 2]


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("make", [conveyor.Queue, conveyor.JoinableQueue, queue.Queue, multiprocessing.Queue])
def test_queues_in_a_list(kind: Any, make: Any) -> None:
    queues = kind([make(), make()])
    with pytest.raises(TypeError, match=r"of 2 queues, and they themselves would be the items"):
        Pipeline(queues)
    if make is conveyor.Queue:
        assert len(list(Pipeline(iter(queues)).map(id, threads=1).stream())) == 2
        for number, one in enumerate(queues):
            one.put(number)
            one.shutdown()
        assert list(Pipeline(itertools.chain(*queues)).map(abs, threads=1, ordered=True).stream()) == [0, 1]


def test_a_queue_of_another_kind_says_how_it_can_be_read() -> None:
    other: queue.Queue[int | None] = queue.Queue()
    for item in (1, 2, None):
        other.put(item)
    with pytest.raises(TypeError, match=r"iter\(queue\.get, None\) reads this one"):
        Pipeline(other)
    assert list(Pipeline(iter(other.get, None)).map(abs, threads=1, ordered=True).stream()) == [1, 2]


def test_a_class_of_progress_bars() -> None:
    class tqdm:  # noqa: N801 - its name
        disable = False

        def update(self, n: int = 1) -> None: ...

    with pytest.raises(TypeError, match=r"progress is the class tqdm; give a bar.*progress=tqdm\(total=n\)"):
        Pipeline(range(3)).map(abs, threads=1).run(progress=tqdm)
