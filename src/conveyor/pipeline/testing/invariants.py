"""What must hold between any two steps of a run: every item is in exactly one place, and the counts say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..base.phase import Phase
from ..engine.engine import Engine
from ..flow.chunk import Chunk
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


def _places(node: WorkNode) -> Iterator[tuple[str, Iterable[Chunk]]]:
    """The runs that miss results, by where they are; those that wait for a worker come first."""
    yield "waiting", node._waiting  # pyright: ignore[reportPrivateUsage]
    for waiting in node._keyed:  # pyright: ignore[reportPrivateUsage]
        yield "waiting", waiting
    yield "to be tried again later", (chunk for _, _, chunk in node._later)  # pyright: ignore[reportPrivateUsage]
    yield "to be tried again", node._again  # pyright: ignore[reportPrivateUsage]
    for handle in node.pool.handles:
        yield "with a worker", handle._chunks  # pyright: ignore[reportPrivateUsage]


def _held(node: WorkNode) -> tuple[dict[int, str], int]:
    """Where each run is that misses results, by its `id`; and how many items wait for a worker."""
    chunks = node.window._chunks  # pyright: ignore[reportPrivateUsage]
    seen: dict[int, str] = {}
    waiting = 0
    for place, there in _places(node):
        for chunk in there:
            if place == "waiting":
                waiting += chunk.count
            if id(chunk) in seen:
                raise Broken(f"stage {node.stage!r}: items {chunk.start}… are {place}, and {seen[id(chunk)]}")
            seen[id(chunk)] = place
            if chunks.get(chunk.start) is not chunk and not node.closed:  # what is closed has given them up
                raise Broken(f"stage {node.stage!r}: items {chunk.start}… are {place}, and nobody holds them")
            if len(chunk.results) >= chunk.count:
                raise Broken(
                    f"stage {node.stage!r}: items {chunk.start}… have their results, and are {place}"
                )
    return seen, waiting


def check_stage(node: WorkNode) -> None:
    """Look at one stage.

    Raises:
        Broken: something does not fit together.
    """
    window = node.window
    chunks: dict[int, Chunk] = window._chunks  # pyright: ignore[reportPrivateUsage]
    seen, waiting = _held(node)
    items = pending = weight = after = 0
    for start in sorted(chunks):
        chunk = chunks[start]
        count, done = chunk.count, len(chunk.results)
        if chunk.start != start or start < after:
            raise Broken(f"stage {node.stage!r}: items {start}… are held twice")
        if done < count and id(chunk) not in seen:
            raise Broken(f"stage {node.stage!r}: items {start}… are nowhere")
        if not 0 <= chunk.released <= done <= count:
            raise Broken(
                f"stage {node.stage!r}: items {start}… have {done} results, {chunk.released} of them gone"
            )
        after = start + count
        items += count
        pending += done - chunk.released
        weight += chunk.weight
    most: int = window._max_items  # pyright: ignore[reportPrivateUsage]
    found = (items, pending, weight, waiting)
    counted = (window.items, window.pending, window.bytes, node._available)  # pyright: ignore[reportPrivateUsage]
    if found != counted:
        what = "items held, results that wait, bytes held, items that wait"
        raise Broken(f"stage {node.stage!r}: {what}: {found}, and it counts {counted}")
    if items > most or after > node.taken:
        raise Broken(f"stage {node.stage!r}: it holds {items} items up to {after - 1}, and may hold {most}")
    for handle in node.pool.handles:
        given = 0
        for chunk in handle._chunks:  # pyright: ignore[reportPrivateUsage]
            given += chunk.count - len(chunk.results)
        if given != handle.outstanding:
            raise Broken(f"stage {node.stage!r}: a worker has {given} items, and {handle.outstanding} count")
        if isinstance(handle, SimulatedWorker) and not handle.agent.ended and not node.closed:
            there = handle.has()
            if there != given:
                raise Broken(
                    f"stage {node.stage!r}: a worker has {there} items, and is thought to have {given}"
                )
