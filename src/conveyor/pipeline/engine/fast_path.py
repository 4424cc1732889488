"""FastPath: the short way through a run for an item that comes while nothing else is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..operators.node import Node
from ..operators.sink import SinkNode
from ..operators.source import SourceNode
from ..operators.work import WorkNode
from .pacing import SPIN_SECONDS

__all__ = ["FastPath"]


class FastPath:
    """Carries single items from a queue through stages whose workers have nothing to do.

    What the engine does for many items at a time takes longer than a quick item itself. Here an item is given
    to an idle worker, and its result awaited at once. Whatever is not quite so simple (a slow item, a
    failure, more than one result) goes on the usual way from the state that it is in.

    Args:
        source, works, sink: the nodes of the run, in order.
        spin: see `World`.
    """

    def __init__(
        self,
        source: SourceNode,
        works: list[WorkNode],
        sink: SinkNode,
        spin: Callable[[list[Any], float], bool],
    ) -> None:
        self._spin = spin
        self._source = source
        self._works = works
        self._sink = sink
        self._queue = source.channel

    @classmethod
    def through(cls, nodes: list[Node], spin: Callable[[list[Any], float], bool]) -> FastPath | None:
        """The lane through these nodes, if they are such that there is one."""
        source, *works, sink = nodes
        if not isinstance(source, SourceNode) or source.channel is None or source.tracked:
            return None
        if type(sink) is not SinkNode:
            return None
        plain = [node for node in works if isinstance(node, WorkNode) and node.is_plain]
        return cls(source, plain, sink, spin) if len(plain) == len(works) and works else None

    def carry(self) -> bool:
        """Carry one item as far as it goes at once; returns whether there was one.

        To be called while the source may be read, and not for long without a look at everything else.
        """
        # A sink that is full holds up everything before it, lone or not.
        if self._sink.demand() <= 0 or not all(node.is_idle for node in self._works):
            return False
        queue = self._queue
        if not self._spin([queue], SPIN_SECONDS) or queue.qsize() != 1:
            return False
        self._source.read()
        values, _ = self._source.hand_out(1)
        if not values:
            return False
        for node in self._works:
            handle = node.give_lone(values)
            if handle is None or not self._spin([handle.channel], SPIN_SECONDS):
                return True
            values = node.take_lone(handle)
            if not values:
                return True
        self._sink.accept(values, None)
        return True
