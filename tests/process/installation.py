"""What the tests of `install` have their processes do. Children import this, so it imports little."""

from __future__ import annotations

import concurrent.futures.process as executor_module
import multiprocessing as mp
import multiprocessing.connection
import multiprocessing.queues
import multiprocessing.spawn
import sys
from multiprocessing.reduction import ForkingPickler
from typing import Any

from helpers import finish

import conveyor

OURS = ("conveyor", "conveyor", "conveyor", "conveyor.queues.pipe")
STANDARD = (
    "multiprocessing.connection",
    "multiprocessing.queues",
    "multiprocessing.queues",
    "multiprocessing.queues",
)
STANDARD_QUEUES = {
    name: getattr(multiprocessing.queues, name) for name in ("Queue", "JoinableQueue", "SimpleQueue")
}


def made_here() -> tuple[str, ...]:
    """The modules of what the factories make in this process."""
    one, other = mp.Pipe()
    one.close()
    other.close()
    made = (mp.JoinableQueue(), one, mp.Queue(), mp.SimpleQueue())
    return tuple(sorted(type(thing).__module__ for thing in made))


def report(answers: Any) -> None:
    answers.put((conveyor.installed(), made_here()))


def report_deep(answers: Any, methods: list[str]) -> None:
    """Have a descendant report, so many generations below as there are methods."""
    if not methods:
        report(answers)
        return
    context = mp.get_context(methods[0])
    child = context.Process(target=report_deep, args=(answers, methods[1:]))  # type: ignore[attr-defined]
    child.start()
    finish(child)


def worker_report(_: int) -> tuple[bool, tuple[str, ...]]:
    return conveyor.installed(), made_here()


def fingerprint() -> dict[str, Any]:
    """Everything that install touches."""
    return {
        "queues": dict(vars(multiprocessing.queues)),
        "connection": dict(vars(multiprocessing.connection)),
        "spawn": dict(vars(multiprocessing.spawn)),
        "executor": dict(vars(executor_module)),
        "classes": {name: dict(vars(cls)) for name, cls in STANDARD_QUEUES.items()},
        "reducers": dict(ForkingPickler._extra_reducers),  # type: ignore[attr-defined]
        "meta_path": list(sys.meta_path),
    }
