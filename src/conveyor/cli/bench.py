"""`conveyor bench`: hands over to `conveyor.bench`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

__all__ = ["bench"]


def bench(*options: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> int:
    """Measure conveyor here, beside multiprocessing's queues and its rivals; see `conveyor bench --help`."""
    from ..bench.cli import main

    return main(list(options))
