"""Plan: from a pipeline's description to the nodes of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, ClassVar, Literal, cast

from ..._processors import processors
from ...errors import PipelineError
from ..graph.bounds import bounds_of
from ..graph.checks import check_sendable
from ..graph.graph import Batch, Graph, Loop, Meet, Merge, Reduce, Split, Step, Tee, To, Unbatch
from ..graph.stage import Stage
from ..operators.batch import BatchNode
from ..operators.inlet import Inlet
from ..operators.join import Join
from ..operators.loop_entry import LoopEntry
from ..operators.loop_exit import LoopExit
from ..operators.merge import MergeNode
from ..operators.node import Node
from ..operators.sink import SinkNode
from ..operators.source import SourceNode
from ..operators.split import SplitNode
from ..operators.tee import TeeNode
from ..operators.unbatch import UnbatchNode
from ..operators.work import WorkNode
from ..operators.zip import ZipNode
from ..sinks.events import EventSink
from ..sinks.make_sink import make_sink
from ..sinks.reduce import ReduceSink
from ..sinks.sink import Sink
from ..supervise.engine_context import EngineContext
from ..supervise.lifecycle import check_rest, own_links
from .blas_threads import share_threads
from .file_clash import check_files
from .kept_places import KeptPlaces

__all__ = ["Plan", "check"]

# What a stage may hold: quick items in numbers, large ones in bytes.
_MOST_ITEMS = 100_000
_MOST_BYTES = 64 * 1024 * 1024


def check(
    graph: Graph,
    start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> None:
    """Find what can be found wrong before anything runs. For the arguments see `Pipeline.run`.

    Raises:
        PipelineError: it cannot run like this.
    """
    if graph.source is None:
        raise PipelineError("the pipeline has no source; say Pipeline(source) to run it")
    first: Stage | None = None
    for spec in graph.stages():
        check_sendable(spec, start_method)
        if first is None or not spec.joins:
            first = spec
        own_links([first, spec], first.workers if isinstance(first.workers, int) else 2)
        check_rest(spec, resume is not None, graph.is_leased)
    _check_ends(graph)
    check_files(graph, resume)


def _check_ends(graph: Graph) -> None:
    steps = graph.steps
    if steps and isinstance(steps[-1], Split):
        split = steps[-1]
        for name, branch in split.every_branch():
            if not (branch.steps and isinstance(branch.steps[-1], (To, Reduce, Split))):
                raise PipelineError(
                    f"what comes out of branch {name!r} of {split.name!r} goes nowhere; end it by to(), "
                    "or say merge() behind split()"
                )


@dataclass
class Plan:
    """Makes the nodes of a run.

    Args:
        context: the engine.
        jobs: workers for a stage that does not say how many.
        max_items: items that a stage may hold.
        leased: the items of the source are leased.
        kept: how the ends begin, and what is kept of them.
        open_source: makes the node of another source that the pipeline has beside its first.
    """

    context: EngineContext
    jobs: int
    open_source: Callable[[Graph], SourceNode]
    max_items: int = _MOST_ITEMS
    leased: bool = False
    kept: KeptPlaces = field(default_factory=KeptPlaces)
    nodes: list[Node] = field(default_factory=list[Node])
    sinks: list[Sink] = field(default_factory=list[Sink])
    reduces: list[ReduceSink] = field(default_factory=list[ReduceSink])
    told: list[Sink] = field(default_factory=list[Sink])
    """Those that are told when the input has ended."""
    last: Sink | None = None
    """Where what comes out of the whole pipeline ends."""

    def make(self, graph: Graph, source: Node, news: EventSink | None) -> list[Node]:
        """The nodes behind the source, and the source, each before those that it feeds.

        Args:
            graph: what is to run.
            source: its source.
            news: where results go if the pipeline does not say; None: nowhere.
        """
        self.nodes.append(source)
        tail = self._chain(graph.steps, source)
        if tail is not None:
            sink = news or EventSink(lambda _: None)
            self._link(tail, self._add(SinkNode("results", self._keep(sink), self.context)))
        share_threads(self.nodes, processors())
        if any(spec.on_error == "yield" for spec in graph.stages()):
            for node in self.nodes:
                node.passes_failures = not isinstance(node, (SinkNode, Join)) or any(
                    sink is getattr(node, "sink", None) for sink in self.reduces
                )
        return self.nodes

    def flush(self) -> None:
        """See to it that what the sinks hold back is on its way."""
        if self.kept.deferral is not None:
            self.kept.deferral.write_all()
        for sink in self.sinks:
            sink.flush()

    def confirm(self) -> None:
        """Wait until what the sinks took before is where it was to go; in any thread."""
        for sink in self.sinks:
            sink.confirm()

    def make_sure(self) -> None:
        """See to it that what the sinks took outlives this process, where that means something."""
        self.flush()
        self.confirm()

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def _keep(self, sink: Sink) -> Sink:
        self.sinks.append(sink)
        self.last = sink
        return sink

    @staticmethod
    def _link(before: Node, after: Node) -> None:
        before.outlet = after
        after.inlets += 1
        after.feeder = before if after.inlets == 1 else None

    def _chain(self, steps: tuple[Step, ...], tail: Node | None) -> Node | None:
        """Nodes for these steps behind `tail`; returns the last, or None where all ends in sinks."""
        for index, step in enumerate(steps):
            if isinstance(step, Stage) and step.joins:
                continue  # its function was given to the node before
            if isinstance(step, Merge):
                continue  # made together with its split
            assert tail is not None
            if isinstance(step, Split):
                merges = index + 1 < len(steps)
                tail = self._split(step, tail, merges)
                continue
            if isinstance(step, (Meet, Loop)):
                tail = self._meet(step, tail) if isinstance(step, Meet) else self._loop(step, tail)
                continue
            node = self._add(self._node(step, steps, index))
            self._link(tail, node)
            tail = None if isinstance(step, (To, Reduce)) else node
        return tail

    def _split(self, step: Split, before: Node, merges: bool) -> Node | None:
        heads: dict[Any, Node] = {}
        otherwise: Node | None = None
        split = SplitNode(step.name, step.by, heads, None, self.context)
        self._add(split)
        self._link(before, split)
        join = Join("merge") if merges else None
        for name, branch in step.every_branch():
            # A door, so that each branch has a first node, even one without stages.
            door = self._add(
                Join(f"{step.name} {name!r}" if branch is not step.otherwise else f"{step.name} otherwise")
            )
            door.inlets = 1
            if branch is step.otherwise:
                otherwise = door
            else:
                heads[name] = door
            tail = self._chain(branch.steps, door)
            if tail is not None and join is not None:
                self._link(tail, join)
        split.open(heads, otherwise)
        if join is not None:
            self._add(join)
        return join

    def _loop(self, step: Loop, before: Node) -> Node:
        entry = LoopEntry(step.name, step.unique, self.context)
        self._link(before, self._add(entry))
        start = len(self.nodes)
        tail = self._chain(step.body.steps, entry)
        assert tail is not None
        entry.body = self.nodes[start:]
        out = LoopExit(f"{step.name}: out", entry)
        self._link(tail, self._add(out))
        return out

    def _meet(self, step: Meet, tail: Node) -> Node:
        inlets: list[Inlet] = []
        sources = self._sources_of(tail)
        tails = [(tail, sources[0].stage if len(sources) == 1 else "all before")]
        for other in step.others:
            source = self.open_source(other)
            self._add(source)
            end = self._chain(other.steps, source)
            assert end is not None
            tails.append((end, source.stage))
        for end, name in tails:
            inlets.append(inlet := Inlet(f"{step.name}: {name}"))
            self._link(end, self._add(inlet))
        meeting: Node
        if step.how == "zip":
            before = [node for node in self.nodes if not _reached_from(node).isdisjoint(inlets)]
            meeting = ZipNode(step.name, inlets, before, step.strict, self.context)
        else:
            meeting = MergeNode(step.name, inlets, step.weights, step.priorities)
        for inlet in inlets:
            self._link(inlet, meeting)
        return self._add(meeting)

    def _sources_of(self, tail: Node) -> list[SourceNode]:
        """The sources from which something may come to that node."""
        sources = [node for node in self.nodes if isinstance(node, SourceNode)]
        return [source for source in sources if tail in _reached_from(source)]

    def _node(self, step: Step, steps: tuple[Step, ...], index: int) -> Node:
        if isinstance(step, Stage):
            return self._work(step, steps[index + 1 :])
        return self._OPERATORS[type(step)](self, step)

    def _work(self, first: Stage, later: tuple[Step, ...]) -> Node:
        """A stage, with those behind it that its workers do as well."""
        joining = takewhile(lambda step: isinstance(step, Stage) and step.joins, later)
        specs = [first, *cast("Iterable[Stage]", joining)]
        most = first.workers if isinstance(first.workers, int) else self.jobs
        return WorkNode(
            self.context, specs, most, *bounds_of(first.max_in_flight, self.max_items, _MOST_BYTES)
        )

    def _batch(self, step: Batch) -> Node:
        return BatchNode(step.name, step.size, step.seconds, self.context)

    def _unbatch(self, step: Unbatch) -> Node:
        return UnbatchNode(step.name, self.context)

    def _tee(self, step: Tee) -> Node:
        sink = make_sink(step.target, step.options, self.kept.beginning(step.target))
        self.sinks.append(sink)
        node = TeeNode(step.name, sink, self.context)
        node.deferral = self.kept.keep(step.target, sink)
        return node

    def _to(self, step: To) -> Node:
        sink = self._keep(make_sink(step.target, step.options, self.kept.beginning(step.target)))
        if self.leased if step.shutdown is None else step.shutdown:
            self.told.append(sink)
        node = SinkNode(step.name, sink, self.context)
        node.deferral = self.kept.keep(step.target, sink)
        return node

    def _reduce(self, step: Reduce) -> Node:
        reduce = ReduceSink(step.function, step.initial)
        self.reduces.append(reduce)
        return SinkNode(step.name, self._keep(reduce), self.context)

    _OPERATORS: ClassVar[dict[type, Callable[[Plan, Any], Node]]] = {
        Batch: _batch,
        Unbatch: _unbatch,
        Tee: _tee,
        To: _to,
        Reduce: _reduce,
    }
    """Which node does a step, by its type; `Split` and `Merge` are made together, by `_split`."""


def _reached_from(source: Node) -> set[Node]:
    found: set[Node] = set()
    rest = [source]
    while rest:
        node = rest.pop()
        if node not in found:
            found.add(node)
            rest += node.outlets()
    return found
