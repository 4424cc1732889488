"""Graph: what the user said of a pipeline, as a value that everything else reads, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from .stage import Stage

__all__ = ["Batch", "Graph", "HasGraph", "Merge", "Reduce", "Split", "Step", "Tee", "To", "Unbatch"]


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


@dataclass(frozen=True)
class To:
    """Where values end."""

    name: str
    target: Any


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


Step: TypeAlias = Stage | Batch | Unbatch | Tee | To | Reduce | Split | Merge


@dataclass(frozen=True, slots=True)
class Graph:
    """A source, and the steps behind it. A branch of a `split` has no source."""

    source: Any = None
    steps: tuple[Step, ...] = ()
    name: str = "pipeline"
    ordered: bool = False
    """What `ordered` is in stages that do not say it."""

    def every_step(self) -> Iterator[Step]:
        """The steps; behind a `split` those of its branches."""
        for step in self.steps:
            yield step
            if isinstance(step, Split):
                for _, branch in step.every_branch():
                    yield from branch.every_step()

    def stages(self) -> Iterator[Stage]:
        """The stages with functions, those of branches included."""
        return (step for step in self.every_step() if isinstance(step, Stage))


class HasGraph(Protocol):
    """A pipeline, as those see it to whom only its graph matters."""

    @property
    def graph(self) -> Graph:
        """What the user said."""
        ...
