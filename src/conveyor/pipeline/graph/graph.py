"""Graph: what the user said of a pipeline, as a value that everything else reads, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

from .stage import Stage

__all__ = [
    "UNNAMED",
    "Acknowledge",
    "Batch",
    "Graph",
    "HasGraph",
    "Loop",
    "Meet",
    "Merge",
    "Reduce",
    "Split",
    "Step",
    "Tee",
    "To",
    "Unbatch",
]

UNNAMED = "pipeline"
"""What a pipeline is called that was given no name."""


Acknowledge: TypeAlias = Literal["on_result", "on_take"]


@dataclass(frozen=True)
class Batch:
    """Lists of so many values, or fewer after so long."""

    name: str
    size: int
    seconds: float | None


@dataclass(frozen=True)
class Unbatch:
    """Lists taken apart."""

    name: str


@dataclass(frozen=True)
class Tee:
    """Values shown to somebody."""

    name: str
    target: Any
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """What else was said of the target."""


@dataclass(frozen=True)
class To:
    """Where values end."""

    name: str
    target: Any
    shutdown: bool | None = None
    """Whether a queue is shut down when the input has ended; None: if the source is leased."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """What else was said of the target."""


@dataclass(frozen=True)
class Reduce:
    """Values merged into one."""

    name: str
    function: Callable[[Any, Any], Any]
    initial: Any


@dataclass(frozen=True)
class Split:
    """Each value to one of several branches."""

    name: str
    by: Callable[[Any], Any]
    branches: dict[Any, Graph]
    otherwise: Graph | None

    def every_branch(self) -> Iterator[tuple[Any, Graph]]:
        """Names and branches; the one for all other names is called `otherwise`."""
        yield from self.branches.items()
        if self.otherwise is not None:
            yield "otherwise", self.otherwise


@dataclass(frozen=True)
class Merge:
    """Where branches meet."""

    name: str


@dataclass(frozen=True)
class Meet:
    """Where what has come so far meets what comes from other sources."""

    name: str
    how: Literal["merge", "zip"]
    others: tuple[Graph, ...]
    weights: tuple[int, ...] | None = None
    """Items of each in a turn, as long as each has some; the first is what has come so far. None: as they come."""
    priorities: tuple[int, ...] | None = None
    """Of each; what has a lower one waits as long as one with a higher has something."""
    strict: bool = False
    """Whether all must have as many."""


@dataclass(frozen=True)
class Loop:
    """Stages that some of what comes out of them goes through again."""

    name: str
    body: Graph
    unique: Callable[[Any], Any] | None = None
    """The key of a value; it goes in only if no other with that key did. None: all do."""


Step: TypeAlias = Loop | Stage | Batch | Unbatch | Tee | To | Reduce | Split | Merge | Meet


@dataclass(frozen=True, slots=True)
class Graph:
    """A source, and the steps behind it. A branch of a `split` has no source."""

    source: Any = None
    steps: tuple[Step, ...] = ()
    name: str = UNNAMED
    ordered: bool = False
    """What `ordered` is in stages that do not say it."""
    acknowledge: Acknowledge | None = None
    """When the items of a queue are acknowledged; None: as is usual for the kind of queue."""
    place: str = field(default="", compare=False, repr=False)
    """The line of the program that made it, as in `srv/jobs.py:12`; empty: not known."""

    def every_source(self) -> Iterator[Graph]:
        """Each graph that has a source, this one first, in the order in which a run opens them."""
        yield self
        for step in self.steps:
            if isinstance(step, Meet):
                for other in step.others:
                    yield from other.every_source()

    def source_names(self) -> list[str]:
        """What the sources are called, in the same order: the names of their pipelines, or numbers."""
        graphs = list(self.every_source())
        if len(graphs) == 1:
            return ["source"]
        names: list[str] = []
        for number, graph in enumerate(graphs, 1):
            name = f"source {number if graph.name == UNNAMED else graph.name}"
            names.append(name if name not in names else f"{name} {number}")
        return names

    @property
    def is_leased(self) -> bool:
        """Whether the items of its own source are leased, and acknowledged when what came of them is at an end.

        Unless it is said: those of a queue that has a name, in a broker, a file or in shared memory. A queue without a
        name ends with its program.
        """
        if not callable(getattr(self.source, "lease_many", None)):
            return False
        if self.acknowledge is not None:
            return self.acknowledge == "on_result"
        segment = getattr(self.source, "_segment", None)
        return segment is None or bool(segment.name)

    def every_step(self) -> Iterator[Step]:
        """The steps; behind a step those inside it: branches of a `split`, other sources, the body of a `loop`."""
        for step in self.steps:
            yield step
            if isinstance(step, Split):
                for _, branch in step.every_branch():
                    yield from branch.every_step()
            elif isinstance(step, Meet):
                for other in step.others:
                    yield from other.every_step()
            elif isinstance(step, Loop):
                yield from step.body.every_step()

    def with_stages(self, change: Callable[[Stage], Stage]) -> Graph:
        """The same with other stages, those of branches and of other sources included."""

        def changed(step: Step) -> Step:
            if isinstance(step, Stage):
                return change(step)
            if isinstance(step, Split):
                branches = {key: branch.with_stages(change) for key, branch in step.branches.items()}
                last = None if step.otherwise is None else step.otherwise.with_stages(change)
                return replace(step, branches=branches, otherwise=last)
            if isinstance(step, Meet):
                return replace(step, others=tuple(other.with_stages(change) for other in step.others))
            return step

        return replace(self, steps=tuple(map(changed, self.steps)))

    def stages(self) -> Iterator[Stage]:
        """The stages with functions, those of branches included."""
        return (step for step in self.every_step() if isinstance(step, Stage))


class HasGraph(Protocol):
    """A pipeline, as those see it to whom only its graph matters."""

    @property
    def graph(self) -> Graph:
        """What the user said."""
        ...
