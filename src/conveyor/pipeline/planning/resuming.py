"""open_store: the file that keeps what is done of a pipeline's sources, if these are such that it can be known."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import PipelineError
from ..checkpoint.store import CheckpointFile
from ..graph.graph import Graph, Meet
from ..sources.fingerprint import fingerprint_of
from ..sources.keyed import Keyed

__all__ = ["digests_of", "open_store"]


def open_store(resume: str | Path, graph: Graph) -> CheckpointFile:
    """The state file of a run.

    Args:
        resume: its path.
        graph: what is run.

    Raises:
        PipelineError: a source has no places, what meets by `zip` might not again, or the file is of something else.
    """
    for step in graph.every_step():
        if isinstance(step, Meet) and step.how == "zip":
            _check_zip(graph, step)
    identities = [_identity_of(one.source) for one in graph.every_source()]
    return CheckpointFile(resume, " and ".join(identities))


def digests_of(graph: Graph) -> dict[int, Callable[[Any], bytes]]:
    """For sources whose items have keys, by their number among all: makes of an item what is kept of its key."""
    sources = [one.source for one in graph.every_source()]
    return {number: source.digest for number, source in enumerate(sources) if isinstance(source, Keyed)}


def _check_zip(graph: Graph, zipped: Meet) -> None:
    """What belongs together must be the same in each run: so it is if the n-th of each source is."""
    for one in (graph, *zipped.others):
        if isinstance(one.source, Keyed):
            raise PipelineError(
                f"resume leaves out items of keyed() by their keys, so that {zipped.name!r} would put together others; "
                "have the key in one source, and look up there what belongs to it"
            )
        before = one.steps[: one.steps.index(zipped)] if zipped in one.steps else one.steps
        if before:
            raise PipelineError(
                f"resume needs tuples that are the same in each run, and {zipped.name!r} has what comes out of "
                f"{before[-1].name!r}; zip the sources themselves, and have the stages behind it"
            )


def _identity_of(source: Any) -> str:
    identity = getattr(source, "identity", None)
    if isinstance(identity, str):
        return identity
    if not isinstance(source, collections.abc.Sequence):
        raise PipelineError(
            f"resume needs a source whose items have places, and a {type(source).__name__} has none; "
            "give a list, a tuple, a range, read_lines(path), or another function that reads files, or say "
            "keyed(source, key=...) if each item has a key"
        )
    return fingerprint_of(source)  # pyright: ignore[reportUnknownArgumentType]
