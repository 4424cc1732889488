"""`conveyor metrics`: the figures of this machine's queues once, as Prometheus reads them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .exit_codes import ExitCode

__all__ = ["metrics"]


def metrics(*, openmetrics: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Print what `/metrics` of `conveyor dash` answers, without a server: for a textfile collector.

    Nothing but the extra cli is needed.

    Args:
        openmetrics: OpenMetrics, instead of Prometheus' text format 0.0.4.
    """
    from ..inspection import Watch, exposition

    form = exposition.Form.OPENMETRICS if openmetrics else exposition.Form.PROMETHEUS
    print(exposition.text(Watch().look(), form=form), end="")
    return ExitCode.OK
