"""Poller: what a run waits by."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Poller"]


class Poller(Protocol):
    """Waits for input, results, deaths, the outlet's reader and wake-ups, whichever is first."""

    def add(self, results: Any, death: Any) -> None:
        """Watch a worker: where its results come, and what tells of its death."""
        ...

    def remove(self, results: Any, death: Any) -> None:
        """Watch a worker no more."""
        ...

    def listen(self, results: Any, wanted: bool) -> None:
        """Say whether results there are wanted now."""
        ...

    def set_sources(self, fds: set[int]) -> None:
        """Watch these descriptors as the sources of input that is wanted now."""
        ...

    def pause(self, seconds: float) -> None:
        """Let time pass, and results come; anything else ends it early."""
        ...

    def wait(self, seconds: float) -> set[Any]:
        """What something happened to, within that time; empty if nothing did."""
        ...

    def wake(self) -> None:
        """End a wait at once. Safe in a signal handler."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...
