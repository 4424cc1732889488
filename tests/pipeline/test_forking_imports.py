"""Workers are forked while another thread imports a module that they need, too."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conveyor import Pipeline, ProcessPoolExecutor, Workers

PATIENCE = 30.0
# The first to import it waits in the midst of it; who imports it in a worker does not.
HALF_WAY = """
import os
from test_forking_imports import meeting
made_in = os.getpid()
if made_in == meeting.pid:
    meeting.half_way.set()
    meeting.go_on.wait(30)
is_whole = True
"""


class Meeting:
    """Between a module that is being imported and the test that has it imported."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.half_way = threading.Event()
        self.go_on = threading.Event()


meeting = Meeting()


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a module that another thread has begun to import."""
    global meeting
    meeting = Meeting()
    # Whatever this module is called here, the other one is to find it.
    monkeypatch.setitem(sys.modules, "test_forking_imports", sys.modules[__name__])
    name = f"imported_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(HALF_WAY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    thread = threading.Thread(target=importlib.import_module, args=(name,))
    thread.start()
    assert meeting.half_way.wait(PATIENCE)
    yield name
    meeting.go_on.set()
    thread.join(PATIENCE)
    assert sys.modules.pop(name).is_whole


def maker(name: str) -> int:
    """The process that imported the module."""
    module = importlib.import_module(name)
    assert module.is_whole
    made_in: int = module.made_in
    return made_in


def run(name: str) -> list[Any]:
    return Pipeline([name] * 4).map(maker, workers=2, timeout=PATIENCE).to(list).run().result


def run_by_a_template(name: str) -> list[Any]:
    def source() -> Iterator[str]:  # it is in a thread: no worker is forked of the program
        yield from [name] * 4

    return Pipeline(source()).map(maker, workers=2, timeout=PATIENCE).to(list).run().result


def two_in_a_loop(name: str) -> list[Any]:
    async def stream() -> list[Any]:
        stage = Pipeline([name] * 2).map(maker, workers=1, timeout=PATIENCE)
        return [result async for result in stage.astream()]

    async def both() -> list[Any]:
        first, second = await asyncio.gather(stream(), stream())
        return first + second

    return asyncio.run(both())


def in_an_executor(name: str) -> list[Any]:
    with ProcessPoolExecutor(2) as executor:
        return list(executor.map(maker, [name] * 4, timeout=PATIENCE))


def by_workers(name: str) -> list[Any]:
    with Workers(2) as workers:
        return list(workers.map(maker, [name] * 4))


WAYS: list[Callable[[str], list[Any]]] = [run, run_by_a_template, two_in_a_loop, in_an_executor, by_workers]


@pytest.mark.parametrize("way", WAYS)
def test_an_import_that_does_not_end(way: Callable[[str], list[Any]], name: str) -> None:
    made_in = way(name)
    assert len(made_in) == 4
    assert os.getpid() not in made_in  # each has imported it anew


@pytest.mark.parametrize("way", WAYS)
def test_an_import_that_ends_soon(way: Callable[[str], list[Any]], name: str) -> None:
    soon = threading.Timer(0.1, meeting.go_on.set)
    soon.start()
    assert way(name) == [os.getpid()] * 4  # it was waited for: the workers have it
    soon.join()
