"""KeptPlaces: what a state file keeps of the ends of a pipeline: how far files are, and the values of `reduce`."""

from __future__ import annotations

import os
from typing import Any

from ...errors import PipelineError
from ..checkpoint.checkpoint import Checkpoint
from ..files.beginning import Beginning
from ..files.target import local_target
from ..operators.deferral import Deferral
from ..sinks.reduce import ReduceSink
from ..sinks.sink import Sink

__all__ = ["KeptPlaces"]


class KeptPlaces:
    """How the ends of a run begin, and what is kept of them for a later one.

    Args:
        checkpoint: keeps what is done; None: nobody does.
        leased: items are leased, and acknowledged on the way.
    """

    def __init__(self, checkpoint: Checkpoint | None = None, leased: bool = False) -> None:
        self._checkpoint = checkpoint
        self._leased = leased
        self._sinks: dict[str, Sink] = {}
        saved: Any = checkpoint.saved_state if checkpoint is not None else None
        # A list has the values of `reduce` alone, as former versions wrote it.
        self._places: dict[str, Any] = saved["places"] if isinstance(saved, dict) else {}
        self._reduces: list[Any] = saved["reduces"] if isinstance(saved, dict) else saved or []
        self.deferral: Deferral | None = Deferral() if checkpoint is not None else None
        """For sinks that can be resumed; None: the run cannot."""

    def beginning(self, target: Any) -> Beginning:
        """How what goes there begins.

        Raises:
            PipelineError: earlier runs have done items, and nobody knows where what came of them is.
        """
        if self._checkpoint is None or not isinstance(target, (str, os.PathLike)):
            return Beginning(appends=self._leased)
        name = str(os.fspath(target))  # pyright: ignore[reportUnknownArgumentType]
        key = self._key(target)
        if self._checkpoint.resumed and key not in self._places:
            raise PipelineError(
                f"the state file keeps {self._checkpoint.resumed:,} items as done, and what came of them was not "
                f"written to {name!r}: it would be missing there; remove the state file to begin anew"
            )
        return Beginning(resumable=True, place=self._places.get(key))

    def keep(self, target: Any, sink: Sink) -> Deferral | None:
        """Keep how far a sink is, if it can be resumed. Returns where its values wait until they may be written."""
        if self._checkpoint is None or not sink.is_resumable:
            return None
        self._sinks[self._key(target)] = sink
        return self.deferral

    def _key(self, target: Any) -> str:
        path = local_target(target)
        name = os.path.realpath(path) if path is not None else str(target)
        return next(key for number in range(1, 10**6) if (key := f"{name} {number}") not in self._sinks)

    def restore(self, reduces: list[ReduceSink]) -> None:
        """Give the values of an earlier run back.

        Raises:
            PipelineError: it had others.
        """
        if self._checkpoint is None or not self._checkpoint.resumed:
            return
        if len(self._reduces) != len(reduces):
            raise PipelineError(
                f"the state file keeps the results of {len(self._reduces)} reduce(), and the pipeline has "
                f"{len(reduces)}: what earlier runs did would be missing; remove the file to begin anew"
            )
        for reduce, result in zip(reduces, self._reduces, strict=True):
            reduce.result = result

    def state(self, reduces: list[ReduceSink]) -> Any:
        """What is to be kept now, after all sinks were flushed."""
        return {
            "reduces": [reduce.result for reduce in reduces],
            "places": {key: sink.place for key, sink in self._sinks.items()},
        }
