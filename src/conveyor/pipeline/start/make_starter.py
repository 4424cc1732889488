"""make_starter: processes are copies of the program by fork, or begin anew by spawn and by a fork server."""

from __future__ import annotations

from multiprocessing.context import BaseContext

from ..worker.serve import Job
from .fork_starter import ForkStarter
from .starter import Starter

__all__ = ["make_starter"]


def make_starter(context: BaseContext, jobs: list[Job], stdout_to_stderr: bool) -> Starter:
    """What starts processes the way of that context.

    Args:
        context: a context of `multiprocessing`'s.
        jobs: what the processes may have to do.
        stdout_to_stderr: what the functions print goes to standard error.
    """
    if context.get_start_method() == "fork":
        return ForkStarter(context, jobs, stdout_to_stderr)

    from .spawn_starter import SpawnStarter  # takes long, and most runs have no use for it

    return SpawnStarter(context, stdout_to_stderr)
