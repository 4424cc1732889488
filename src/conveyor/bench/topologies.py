"""The topologies: how many processes put, how many get, and whether they answer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TOPOLOGIES", "Topology"]


@dataclass(frozen=True)
class Topology:
    """Processes on the two sides of one queue, or of two queues for a round trip."""

    name: str
    title: str
    producers: int
    consumers: int
    round_trip: bool = False

    @property
    def unit(self) -> str:
        """What is counted, per second."""
        return "round trips/s" if self.round_trip else "items/s"

    @property
    def quantum(self) -> int:
        """Item counts are multiples of this, so that every pair of processes has the same share."""
        return self.producers * self.consumers


TOPOLOGIES: dict[str, Topology] = {
    topology.name: topology
    for topology in (
        Topology("1:1", "one producer, one consumer", 1, 1),
        Topology("1:4", "one producer, four consumers", 1, 4),
        Topology("4:1", "four producers, one consumer", 4, 1),
        Topology("4:4", "four producers, four consumers", 4, 4),
        Topology("ping-pong", "one item there and back", 1, 1, round_trip=True),
    )
}
