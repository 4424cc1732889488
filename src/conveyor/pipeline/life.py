"""Life: what workers that are processes, threads and coroutines differ in."""

from __future__ import annotations

from typing import Any

__all__ = ["Life"]


class Life:
    """How a worker is reached, and how it ends."""

    @property
    def token(self) -> Any:
        """What the engine is told when there are results: a descriptor, or this object."""
        raise NotImplementedError

    def _send(self, messages: list[Any]) -> None:
        raise NotImplementedError

    def _take(self) -> list[Any]:
        raise NotImplementedError

    def _recall(self) -> int:
        """Take back the messages that the worker has not taken; returns how many items there were."""
        raise NotImplementedError

    def has_results(self) -> bool:
        """Whether `collect` would find something."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once, or as soon as can be."""
        raise NotImplementedError

    def end_programs(self) -> None:
        """It has crashed: end the programs that it started, if they are its own."""

    def gone(self) -> bool:
        """Whether it has ended."""
        raise NotImplementedError
