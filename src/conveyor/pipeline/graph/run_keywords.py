"""RunKeywords: the options of a run, for type checkers, where a method passes them on to those of `run` or `stream`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypedDict

__all__ = ["RunKeywords", "StreamKeywords"]


class StreamKeywords(TypedDict, total=False):
    """Those that `stream` has as well; `Pipeline.run` says what they mean."""

    jobs: int | None
    start_method: Literal["fork", "spawn", "forkserver"] | None
    halt: Literal["now", "soon"]
    max_failures: int | str | None
    dead_letters: Any
    seed: int | None
    logs: bool


class RunKeywords(StreamKeywords, total=False):
    """Those of `run`, but for what is shown in a program's own process."""

    progress: Any
    resume: str | Path | None
