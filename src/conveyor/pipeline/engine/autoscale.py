"""Autoscale: moves workers to where they are needed, for stages with `workers="auto"`."""

from __future__ import annotations

from ..operators.work import WorkNode

__all__ = ["Autoscale"]

_EVERY_SECONDS = 0.2
_BUSY = 0.9
_IDLE = 0.5


class Autoscale:
    """Looks at how busy each stage's workers were, and lets the busiest have one more, if need be from the idlest.

    A stage whose workers are busy and before which items wait is held up by them: it is the bottleneck, or
    one of several. A stage whose workers are idle half of the time has one too many. This is the hill climbing
    of a controller with a dead band, which moves one worker at a time, so that it does not swing.

    Args:
        jobs: workers at most, in all stages together.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._looked = 0.0
        self._busy: dict[int, float] = {}

    def adjust(self, now: float, works: list[WorkNode]) -> None:
        """Change the number of workers of at most one stage, if it is time to look."""
        if now - self._looked < _EVERY_SECONDS:
            return
        seconds = now - self._looked if self._looked else 0.0
        self._looked = now
        automatic = [node for node in works if node.spec.workers == "auto" and not node.ended]
        if not automatic or not seconds:
            return
        load = {id(node): self._load(node, seconds) for node in automatic}
        held_up = [
            node
            for node in automatic
            if load[id(node)] > _BUSY and self._is_behind(node) and not node.blocked
        ]
        if not held_up:
            return
        worst = max(held_up, key=lambda node: (load[id(node)], node.pool.seconds_per_item / node.pool.size))
        if sum(node.pool.size for node in automatic) < self._jobs:
            worst.pool.size = min(worst.pool.size + 1, worst.pool.most)
            return
        idle = [
            node for node in automatic if node.pool.size > 1 and load[id(node)] < _IDLE and node is not worst
        ]
        if idle and worst.pool.size < worst.pool.most:
            idlest = min(idle, key=lambda node: load[id(node)])
            idlest.pool.size -= 1
            idlest.pool.shut_one_down()
            worst.pool.size += 1

    @staticmethod
    def _is_behind(node: WorkNode) -> bool:
        """Whether items wait before it, or behind those that its workers are at."""
        return node.waiting > 0 or node.in_flight > len(node.pool.handles)

    def _load(self, node: WorkNode, seconds: float) -> float:
        """The share of the time in which its workers were busy since the last look."""
        busy = sum(handle.status_page.busy for handle in node.pool.handles) * 1e-9
        before = self._busy.get(id(node), 0.0)
        self._busy[id(node)] = busy
        # An item that takes longer than a look is counted when it is done.
        working = sum(handle.outstanding > 0 for handle in node.pool.handles)
        if busy == before and working:
            return working / max(node.pool.size, 1)
        return max(busy - before, 0.0) / seconds / max(len(node.pool.handles), 1)
