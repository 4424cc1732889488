"""OpenSources: the source nodes of a run, each with places of its own, and who settles what came from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..checkpoint.acknowledger import Acknowledger
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.leased_inputs import LeasedInputs
from ..checkpoint.origin_counter import PLACES
from ..graph.graph import Graph
from ..operators.source import SourceNode
from ..sources.leased import LeaseSource
from ..sources.source import Source
from ..supervise.engine_context import EngineContext

__all__ = ["OpenSources"]


class OpenSources:
    """Opens the sources of a graph, in the order of `Graph.every_source`.

    Args:
        graph: the whole.
        context: the engine.
        read: makes what reads from a source, leased or not.
        checkpoint: keeps what is done of them; None: nobody does.
        acknowledger: settles the leases of those that have some; None: nothing is leased.
    """

    def __init__(
        self,
        graph: Graph,
        context: EngineContext,
        read: Callable[[Any, bool], Source[Any]],
        checkpoint: Checkpoint | None,
        acknowledger: Acknowledger | None,
    ) -> None:
        self._names = graph.source_names()
        self._context = context
        self._read = read
        self._checkpoint = checkpoint
        self._acknowledger = acknowledger
        self.nodes: list[SourceNode] = []
        """Those that are open."""
        self._leased: dict[int, LeaseSource] = {}

    def open(self, graph: Graph) -> SourceNode:
        """The node of the next source."""
        index = len(self.nodes)
        leases = self._acknowledger is not None and graph.is_leased
        source = self._read(graph.source, leases)
        if isinstance(source, LeaseSource):
            self._leased[index] = source
        node = SourceNode(
            source,
            self._context,
            self._checkpoint is not None or self._acknowledger is not None,
            self._checkpoint.unfinished if self._checkpoint is not None else None,
            self._names[index],
            index * PLACES,
        )
        self.nodes.append(node)
        return node

    @property
    def leased(self) -> LeasedInputs:
        """Those whose items are leased."""
        return LeasedInputs(dict(self._leased))
