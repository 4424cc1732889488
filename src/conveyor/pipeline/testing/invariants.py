"""What must hold between any two steps of a run: every item is in exactly one place, and the counts say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..base.phase import Phase
from ..engine.engine import Engine
from ..flow.chunk import Run
from ..operators.work import WorkNode
from .broken import Broken
from .simulated_worker import SimulatedWorker

__all__ = ["check_engine", "check_stage"]


def check_engine(engine: Engine) -> None:
    """Look at all stages of a run, while its scheduler waits.

    Raises:
        Broken: something does not fit together.
    """
    if engine.phase >= Phase.HALTED:
        return  # what is under way is abandoned, and nobody counts it
    for node in engine.works:
        check_stage(node)


def _places(node: WorkNode) -> Iterator[tuple[str, Iterable[Run]]]:
    """The runs that miss results, by where they are; those that wait for a worker come first."""
    yield "waiting", node._waiting  # pyright: ignore[reportPrivateUsage]
    for waiting in node._keyed:  # pyright: ignore[reportPrivateUsage]
        yield "waiting", waiting
    yield "to be tried again later", (run for _, _, run in node._later)  # pyright: ignore[reportPrivateUsage]
    yield "to be tried again", node._again  # pyright: ignore[reportPrivateUsage]
    for hand in node.crew.hands:
        yield "with a worker", hand._runs  # pyright: ignore[reportPrivateUsage]


def _held(node: WorkNode) -> tuple[dict[int, str], int]:
    """Where each run is that misses results, by its `id`; and how many items wait for a worker."""
    runs = node.window._runs  # pyright: ignore[reportPrivateUsage]
    seen: dict[int, str] = {}
    waiting = 0
    for place, there in _places(node):
        for run in there:
            if place == "waiting":
                waiting += run.count
            if id(run) in seen:
                raise Broken(f"stage {node.stage!r}: items {run.start}… are {place}, and {seen[id(run)]}")
            seen[id(run)] = place
            if runs.get(run.start) is not run and not node.closed:  # what is closed has given them up
                raise Broken(f"stage {node.stage!r}: items {run.start}… are {place}, and nobody holds them")
            if len(run.results) >= run.count:
                raise Broken(f"stage {node.stage!r}: items {run.start}… have their results, and are {place}")
    return seen, waiting


def check_stage(node: WorkNode) -> None:
    """Look at one stage.

    Raises:
        Broken: something does not fit together.
    """
    window = node.window
    runs: dict[int, Run] = window._runs  # pyright: ignore[reportPrivateUsage]
    seen, waiting = _held(node)
    items = pending = weight = after = 0
    for start in sorted(runs):
        run = runs[start]
        count, done = run.count, len(run.results)
        if run.start != start or start < after:
            raise Broken(f"stage {node.stage!r}: items {start}… are held twice")
        if done < count and id(run) not in seen:
            raise Broken(f"stage {node.stage!r}: items {start}… are nowhere")
        if not 0 <= run.released <= done <= count:
            raise Broken(
                f"stage {node.stage!r}: items {start}… have {done} results, {run.released} of them gone"
            )
        after = start + count
        items += count
        pending += done - run.released
        weight += run.weight
    most: int = window._max_items  # pyright: ignore[reportPrivateUsage]
    found = (items, pending, weight, waiting)
    counted = (window.items, window.pending, window.bytes, node._available)  # pyright: ignore[reportPrivateUsage]
    if found != counted:
        what = "items held, results that wait, bytes held, items that wait"
        raise Broken(f"stage {node.stage!r}: {what}: {found}, and it counts {counted}")
    if items > most or after > node.taken:
        raise Broken(f"stage {node.stage!r}: it holds {items} items up to {after - 1}, and may hold {most}")
    for hand in node.crew.hands:
        given = 0
        for run in hand._runs:  # pyright: ignore[reportPrivateUsage]
            given += run.count - len(run.results)
        if given != hand.outstanding:
            raise Broken(f"stage {node.stage!r}: a worker has {given} items, and {hand.outstanding} count")
        if isinstance(hand, SimulatedWorker) and not hand.agent.ended and not node.closed:
            there = hand.has()
            if there != given:
                raise Broken(
                    f"stage {node.stage!r}: a worker has {there} items, and is thought to have {given}"
                )
