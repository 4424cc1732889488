"""Run some functions at once, each in a process of its own, forked for the occasion."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import BrokenBarrierError
from time import monotonic
from typing import Any, Generic, TypeVar

__all__ = ["FORK", "MeasurementFailed", "run_together"]

FORK = multiprocessing.get_context("fork")
"""Children inherit a rival's queue as its users' children would; the parent has no threads."""

T = TypeVar("T")


class MeasurementFailed(Exception):
    """A rival lost, doubled or changed an item, raised, died, or did not finish in time."""


@dataclass(frozen=True)
class _Answer(Generic[T]):
    """What a child sends before it leaves: its value, or why there is none."""

    value: T | None
    error: str = ""
    follows: bool = False
    """The error is only that another process failed first."""


def _child(role: Callable[[Any], T], barrier: Any, report: Connection) -> None:
    answer: _Answer[T]
    try:
        answer = _Answer(role(barrier))
    except BrokenBarrierError:
        answer = _Answer(None, "the processes did not come together in time", follows=True)
    except BaseException as error:
        reason = str(error) if isinstance(error, MeasurementFailed) else f"{type(error).__name__}: {error}"
        answer = _Answer(None, reason)
        barrier.abort()
    report.send(answer)
    report.close()


def run_together(roles: Sequence[Callable[[Any], T]], patience: float) -> list[T]:
    """Call every role in a process of its own; return what they return, in their order.

    Each gets a barrier that all of them share. A process that has not ended after `patience` seconds is
    killed, and `MeasurementFailed` is raised, as it is when a role raises or its process dies.
    """
    deadline = monotonic() + patience
    barrier = FORK.Barrier(len(roles), timeout=patience)
    pipes = [FORK.Pipe(duplex=False) for _ in roles]
    processes = [
        FORK.Process(target=_child, args=(role, barrier, report), daemon=True)
        for role, (_, report) in zip(roles, pipes, strict=True)
    ]
    try:
        for process, (_, report) in zip(processes, pipes, strict=True):
            process.start()
            report.close()
        answers: list[_Answer[T]] = _collect([pipe for pipe, _ in pipes], deadline, patience)
        for process in processes:
            process.join(max(0.1, deadline - monotonic()))
            if process.exitcode is None:
                raise MeasurementFailed("a process did not end")
    finally:
        for process in processes:
            if process.pid is not None and process.exitcode is None:
                process.kill()
                process.join()
        for pipe, report in pipes:
            pipe.close()
            report.close()
    values: list[T] = []
    for answer in answers:
        assert answer.value is not None
        values.append(answer.value)
    return values


def _collect(pipes: list[Any], deadline: float, patience: float) -> list[_Answer[Any]]:
    """One answer from every pipe; the first failure that follows from no other one is raised."""
    found: dict[int, _Answer[Any]] = {}
    waiting = {pipe: index for index, pipe in enumerate(pipes)}
    while waiting:
        ready: list[Any] = list(wait(list(waiting), max(0.0, deadline - monotonic())))
        if not ready:
            raise MeasurementFailed(f"not done after {patience:.0f} s: items lost, or a dead lock")
        for pipe in ready:
            index = waiting.pop(pipe)
            try:
                answer: _Answer[Any] = pipe.recv()
            except EOFError:
                raise MeasurementFailed("a process died") from None
            if answer.error and not answer.follows:
                raise MeasurementFailed(answer.error)
            found[index] = answer
    for answer in found.values():
        if answer.error:
            raise MeasurementFailed(answer.error)
    return [found[index] for index in range(len(pipes))]
