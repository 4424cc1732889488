"""share_threads: how many threads BLAS and OpenMP may have in each worker process, for all to have a processor each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from ..operators.node import Node
from ..operators.work import WorkNode
from ..worker.native_threads import uses_native_threads

__all__ = ["blas_line", "share_threads"]


def share_threads(nodes: Iterable[Node], processors: int) -> None:
    """Say to the worker processes of a run how many threads such libraries may have in them.

    Args:
        nodes: those of the run.
        processors: how many the run may keep busy.
    """
    works = [node for node in nodes if isinstance(node, WorkNode) and node.spec.where == "processes"]
    workers = sum(node.pool.most for node in works)
    for node in works:
        said = node.spec.blas_threads
        count = max(1, processors // workers) if said is None else said
        # A library has a thread for each processor by itself.
        if isinstance(count, int) and (said is not None or count < len(os.sched_getaffinity(0))):
            node.job = replace(node.job, blas_threads=count)


def blas_line(nodes: Iterable[Node]) -> str:
    """What was said to them, as a sentence; empty: nothing, or nothing here uses such libraries."""
    if not uses_native_threads():
        return ""
    bounds = {
        node.stage: node.job.blas_threads
        for node in nodes
        if isinstance(node, WorkNode) and node.job.blas_threads is not None
    }
    if not bounds:
        return ""
    counts = sorted(set(bounds.values()))
    if len(counts) == 1:
        return f"BLAS and OpenMP: {counts[0]} thread{'s' if counts[0] > 1 else ''} in each worker process."
    return f"BLAS and OpenMP, threads in each worker process: {', '.join(f'{one} {n}' for one, n in bounds.items())}."
