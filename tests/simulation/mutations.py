"""Mutations: the scheduler broken in one place after the other, each of which the simulation must notice."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from conveyor.pipeline.engine.failure_policy import FailurePolicy
from conveyor.pipeline.flow.ledger import Ledger
from conveyor.pipeline.flow.reorder_buffer import ReorderBuffer
from conveyor.pipeline.operators.node import Node
from conveyor.pipeline.operators.tee import TeeNode
from conveyor.pipeline.operators.work import WorkNode
from conveyor.pipeline.supervise.handle import WorkerHandle
from conveyor.pipeline.supervise.inbox import Inbox
from conveyor.pipeline.supervise.pool import WorkerPool
from conveyor.pipeline.worker import serve
from conveyor.pipeline.worker.serve import Worker

__all__ = ["MUTATIONS", "Mutation"]


@dataclass(frozen=True)
class Mutation:
    """A piece of one function, and what is put in its place."""

    what: str
    owner: Any
    function: str
    old: str
    new: str
    first: int = 0
    """The seed to begin with: one that notices it, so that the test is quick."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """In the block, the function is the broken one."""
        true = inspect.getattr_static(self.owner, self.function)
        source = textwrap.dedent(inspect.getsource(true))
        assert source.count(self.old) == 1, f"{self.what}: the function no longer has {self.old!r} once"
        module = sys.modules[self.owner.__module__] if isinstance(self.owner, type) else self.owner
        names: dict[str, Any] = {}
        exec(f"from __future__ import annotations\n{source.replace(self.old, self.new)}", vars(module), names)
        setattr(self.owner, self.function, names[self.function])
        try:
            yield
        finally:
            setattr(self.owner, self.function, true)


MUTATIONS = [
    Mutation(
        "results are not put into order",
        ReorderBuffer,
        "release",
        "if chunk.missing or not chunk.count:",
        "if False:",
    ),
    Mutation(
        "an item is split off too late",
        Inbox,
        "_fail",
        "split(chunk, number + 1)",
        "split(chunk, number + 2)",
    ),
    Mutation(
        "the results of a dead worker are not collected",
        WorkerPool,
        "_settle_dead_worker",
        "    handle.collect()\n    node.gather()\n    self.hear(handle)\n",
        "    handle.collect = lambda: 0\n    self.hear(handle)\n",
        first=2273,
    ),
    Mutation(
        "what is taken back has the begun item in it",
        WorkerHandle,
        "take_back",
        "count = self._recall()",
        "count = min(self._recall() + 1, self.outstanding)",
    ),
    Mutation(
        "what a dead worker had not begun is forgotten",
        WorkerHandle,
        "give_back",
        "[*self._chunks, *left.not_begun]",
        "[*self._chunks]",
    ),
    Mutation(
        "what comes back loses the slot of its key",
        WorkerPool,
        "_settle_dead_worker",
        "node.come_back(handle.lose(left, error, where, link), slot)",
        "node.come_back(handle.lose(left, error, where, link))",
    ),
    Mutation(
        "an item is tried again whose first results are out",
        WorkNode,
        "failed",
        "not (chunk.partial_results_released or self.closed)",
        "not self.closed",
        first=282,
    ),
    Mutation(
        "a worker tries an item again whose first results are out",
        serve._Insisting,
        "call",
        "attempt == most or self._chain.has_sent",
        "attempt == most",
        first=1770,
    ),
    Mutation(
        "a worker does not know how often others have tried an item",
        serve._Insisting,
        "call",
        "tried, self.tried = self.tried, 0",
        "tried = self.tried = 0",
        first=173,
    ),
    Mutation(
        "what a dead worker had tried counts once",
        WorkerHandle,
        "lose",
        "self.status_page.attempts(self.finished)",
        "1",
        first=173,
    ),
    Mutation(
        "an item is tried once more than it may be",
        FailurePolicy,
        "decide",
        "failure.attempts <= stage.retries",
        "failure.attempts <= stage.retries + 1",
    ),
    Mutation("the back-off is ignored", WorkNode, "retry", "self.now() + verdict.seconds", "self.now()"),
    Mutation("a retry is forgotten", WorkNode, "advance", "self._put_in(chunk, first=True)", "pass"),
    Mutation(
        "a stage takes more than it may hold",
        WorkNode,
        "demand",
        "max(min(need, self.buffer.room), 0)",
        "max(need, 0) if self.buffer.room else 0",
    ),
    Mutation(
        "a stage gives more than the next may hold",
        Node,
        "_pass_on",
        "if at == 0 and most >= len(values):",
        "if at == 0:",
    ),
    Mutation(
        "an item is done before the sink has taken it",
        TeeNode,
        "_show",
        "None if origins is None else origins[:count])",
        "origins)",
    ),
    Mutation(
        "an item that ended the run is done",
        Inbox,
        "_settle",
        "chunk.origins is not None and verdict is NO_RESULT",
        "chunk.origins is not None",
    ),
    Mutation(
        "an item that is to be tried again may be given out at once",
        WorkNode,
        "retry",
        "self.ledger.back_off(chunk, self.now() + verdict.seconds)",
        "self.ledger.wait(chunk)",
    ),
    Mutation("what waits behind a split is not counted", Ledger, "_out", "-= chunk.count", "-= 1"),
    Mutation("a chunk that comes back is still out", Ledger, "wait", "chunk.state = _WAITING", "pass"),
    Mutation("a worker is not waited for", WorkerPool, "_remove", "handle.close()", "pass"),
    Mutation("a death is not noticed", WorkerPool, "supervise", "handle.gone()", "False"),
    Mutation(
        "results are counted twice",
        ReorderBuffer,
        "grown",
        "self.pending += count",
        "self.pending += 2 * count",
    ),
    Mutation("a stuck worker is given more", WorkerHandle, "relieve", "self.credit = 0", "pass"),
    Mutation(
        "a result is lost that comes alone after others of its item",
        Inbox,
        "_add",
        "entry = MultiResult([*chunk.partial_results, *fresh])",
        "entry = MultiResult(chunk.partial_results)",
    ),
    Mutation(
        "a worker leaves out what was given back to it",
        Worker,
        "_work",
        "result = (DROPPED,)",
        "continue",
    ),
]
