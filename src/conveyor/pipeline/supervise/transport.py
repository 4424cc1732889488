"""WorkerTransport: what workers that are processes, threads and coroutines differ in."""

from __future__ import annotations

from typing import Any

from .poller import Poller

__all__ = ["WorkerTransport"]


class WorkerTransport:
    """How a worker is reached, and how it ends."""

    pid = 0
    """Its process; 0: it is none."""
    channel: Any = None
    """Where results come, if `World.spin` can look there; else None."""
    tells_again = False
    """Whether the poller goes on telling of results that are not taken; else it is told once of the first."""
    can_die = False
    """Whether it may end without being told to, and without a word."""

    @property
    def exitcode(self) -> int | None:
        """How it ended, as of `multiprocessing.Process`; None: it lives, or that cannot be known."""
        return 0

    def watch(self, poller: Poller) -> None:
        """Have the poller tell of its results and of its death, unless it tells of them itself."""

    def unwatch(self, poller: Poller) -> None:
        """It is gone."""

    def listen(self, poller: Poller, wanted: bool) -> None:
        """Say to the poller whether its results are wanted now."""

    def may_be_gone(self, found: set[Any]) -> bool:
        """Whether what the poller found gives a reason to ask whether it is gone."""
        return True

    def crash(self) -> tuple[str, ...]:
        """Where native code crashed it: the innermost calls; empty if none did."""
        return ()

    def peak_memory(self) -> int:
        """The most memory that it had to itself so far, in bytes; 0 if that cannot be told."""
        return 0

    def last_words(self) -> str | None:
        """What it wrote before it ran any code of ours; None: it has run some, or is no process."""
        return None

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
