"""What must hold between any two steps of a run: every item is in exactly one place, and the counts say so."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.phase import Phase
from ..engine.engine import Engine
from ..flow.chunk import Chunk
from ..flow.ledger import ItemState
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


def _places(node: WorkNode) -> Iterator[tuple[ItemState, Chunk]]:
    """The chunks that miss results, and the state that belongs to where they are."""
    yield from node.ledger.places()
    for handle in node.pool.handles:
        for chunk in handle._chunks:  # pyright: ignore[reportPrivateUsage]
            yield ItemState.OUT, chunk


def _held(node: WorkNode) -> tuple[dict[int, ItemState], int]:
    """The state of each chunk that misses results, by its `id`; and how many items wait for a worker."""
    chunks = node.buffer._chunks  # pyright: ignore[reportPrivateUsage]
    seen: dict[int, ItemState] = {}
    waiting = 0
    for state, chunk in _places(node):
        which = f"stage {node.stage!r}: items {chunk.start}…"
        if state is ItemState.WAITING:
            waiting += chunk.count
        if id(chunk) in seen:
            raise Broken(f"{which} are {state.value}, and {seen[id(chunk)].value}")
        seen[id(chunk)] = state
        if chunk.state is not state:
            raise Broken(f"{which} are {state.value}, and the ledger says {chunk.state}")
        if chunks.get(chunk.start) is not chunk and not node.closed:  # what is closed has given them up
            raise Broken(f"{which} are {state.value}, and nobody holds them")
        if len(chunk.results) >= chunk.count:
            raise Broken(f"{which} have their results, and are {state.value}")
    return seen, waiting


def check_stage(node: WorkNode) -> None:
    """Look at one stage.

    Raises:
        Broken: something does not fit together.
    """
    buffer = node.buffer
    chunks: dict[int, Chunk] = buffer._chunks  # pyright: ignore[reportPrivateUsage]
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
    most: int = buffer._max_items  # pyright: ignore[reportPrivateUsage]
    found = (items, pending, weight, waiting)
    counted = (buffer.items, buffer.pending, buffer.bytes, node.ledger.available)
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
