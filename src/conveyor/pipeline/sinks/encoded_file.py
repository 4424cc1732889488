"""EncodedFileSink: writes values to a file, as lines, JSON lines or CSV, compressed or not."""

from __future__ import annotations

from typing import Any

from ...errors import PipelineError
from ..files.beginning import Beginning
from ..files.compression import compressor
from ..files.make_output import make_output
from ..files.target import Target
from .csv_encoder import CsvEncoder
from .encoder import Encoder
from .json_encoder import JsonEncoder
from .line_encoder import LineEncoder
from .sink import PlainSink

__all__ = ["EncodedFileSink"]


class EncodedFileSink(PlainSink):
    """Writes values to a file, which is there under its name when the run has ended well.

    A compressed file gets a member for each time it is flushed, so that a later run can go on behind the last one.

    Args:
        target: the file.
        beginning: how.

    Raises:
        OSError, ImportError, TypeError, ValueError, PipelineError: it cannot be written, or not like this.
    """

    def __init__(self, target: Target, beginning: Beginning) -> None:
        place = beginning.place or {"bytes": 0, "memory": None}
        self._encoder = _encoder(target, beginning, place["memory"])
        self._make = compressor(target.compression) if target.compression else None
        self._compressor = self._make() if self._make else None
        if beginning.appends and (self._make or target.format == "csv"):
            raise PipelineError(
                f"the items come from a queue and are acknowledged on the way, so that {target.shown!r} would be "
                "appended to, which goes line by line; write lines or JSON lines, not compressed, or say "
                'Pipeline(queue, acknowledge="on_take")'
            )
        self.is_resumable = beginning.resumable
        self._begun = False  # a member
        self._output = make_output(
            target, Beginning(beginning.resumable, place["bytes"] or None, beginning.appends)
        )
        self.partial: str | None = None

    @property
    def place(self) -> Any:
        """How far it is, right after `flush`."""
        return {"bytes": self._output.tell(), "memory": self._encoder.memory}

    def take(self, values: list[Any]) -> int:
        """Take all."""
        self._write(self._encoder.encode(values))
        return len(values)

    def _write(self, data: bytes) -> None:
        if self._compressor is not None:
            self._begun = self._begun or bool(data)
            data = self._compressor.compress(data)
        if data:
            self._output.write(data)

    def flush(self) -> None:
        """Hand what was written to the system, as whole members; to the disk, if a later run is to go on from there."""
        if self._begun:
            self._end_member()
        self._output.flush(durable=self.is_resumable)

    def _end_member(self) -> None:
        assert self._compressor is not None
        assert self._make is not None
        self._output.write(self._compressor.flush())
        self._compressor = self._make()
        self._begun = False

    def close(self) -> None:
        """Nothing more will come: write what is missing at the end."""
        if rest := self._encoder.end():
            self._write(rest)
        if self._begun or (self._compressor is not None and not self._output.tell()):
            self._end_member()  # of a file without values, too: what reads it expects one
        self._output.flush(durable=self.is_resumable)

    def conclude(self, whole: bool) -> None:
        """Give the file its name, or leave it beside."""
        if whole:
            self._output.publish()
        else:
            self.partial = self._output.abandon()


def _encoder(target: Target, beginning: Beginning, memory: Any) -> Encoder:
    if target.format == "csv":
        return CsvEncoder(target.shown, target.options, memory)
    return JsonEncoder() if target.format == "jsonl" else LineEncoder()
