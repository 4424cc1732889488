"""MapFigures: the figures of a `conveyor map`, by what became of each line."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from ..pipeline import PipelineRun
from .map_output import MapOutput

__all__ = ["Figures", "MapFigures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """How far a run is, or how it ended. All fields but `seconds` count things."""

    taken: int
    """Items taken from the input. Each is in exactly one of the next six fields' counts."""
    done: int
    """Items whose function returned, and whose result has been handed out."""
    pending: int
    """Items whose function returned, and whose result waits for its turn."""
    failed: int
    """Items whose function raised, those that could not be sent to a worker included."""
    lost: int
    """Items on which a worker died."""
    in_flight: int
    """Items that workers have and have not finished; after the end of a run: that were cut off."""
    not_begun: int
    """Items taken from the input that no worker has."""
    workers: int
    """Worker processes alive."""
    deaths: int
    """Workers that ended without being told to."""
    seconds: float
    """Time since the start."""

    @property
    def rate(self) -> float:
        """Items dealt with per second, over the whole run."""
        return (self.done + self.failed + self.lost) / self.seconds if self.seconds > 0 else 0.0


class MapFigures:
    """Reads them from the run.

    Args:
        run: a run of one stage.
        output: takes its results, and the items that failed among them; None: those are not among them.
    """

    def __init__(self, run: PipelineRun, output: MapOutput | None = None) -> None:
        self._run = run
        self._output = output
        self._work = run.engine.works[0]

    def now(self) -> Figures:
        """The figures at this moment, or of the end."""
        engine, work, source = self._run.engine, self._work, self._run.source
        end = engine.ended or monotonic()
        failed = engine.failed - engine.lost
        given = self._output.failed if self._output is not None else 0  # failures that had their turn
        done = sum(sink.given for sink in engine.sinks) - given
        not_begun = work.waiting + source.source.available
        taken = work.taken + source.source.available
        pending = work.pending - (engine.failed - given if self._output is not None else 0)
        return Figures(
            taken=taken,
            done=done,
            pending=pending,
            failed=failed,
            lost=engine.lost,
            in_flight=taken - done - pending - failed - engine.lost - not_begun,
            not_begun=not_begun,
            workers=len(work.pool.handles),
            deaths=work.pool.deaths,
            seconds=end - engine.began if engine.began else 0.0,
        )
