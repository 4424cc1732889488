"""The steps of a pipeline that are not functions called for each item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .stage import StageSpec

if TYPE_CHECKING:
    from ..pipeline import Pipeline

__all__ = ["Batch", "Merge", "Reduce", "Split", "Step", "Tee", "To", "Unbatch"]


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
    branches: dict[Any, Pipeline[Any]]
    otherwise: Pipeline[Any] | None


@dataclass(frozen=True)
class Merge:
    """Where branches meet."""

    name: str


Step: TypeAlias = StageSpec | Batch | Unbatch | Tee | To | Reduce | Split | Merge
