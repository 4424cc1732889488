"""Description: a pipeline as a graph, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import checks
from .graph import Batch, Graph, Loop, Meet, Reduce, Split, Step, Tee, To, Unbatch
from .stage import Stage

__all__ = ["Description", "Edge", "Vertex", "describe"]


@dataclass(frozen=True, slots=True)
class Vertex:
    """A step."""

    name: str
    kind: str
    """The method that made it: `map`, `filter`, `flat_map`, `batch`, `split`, `merge`, `to` and so on; or `source`."""
    detail: str
    """Who does it, and what else was said of it, in words."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Items go from one step to another."""

    before: str
    after: str
    label: str = ""
    """The branch."""


@dataclass(frozen=True, slots=True)
class Description:
    """Steps, and how they are joined. Its text shows both."""

    name: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]
    _lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def to_mermaid(self) -> str:
        """The graph in the language of Mermaid, which many viewers of Markdown draw."""
        number = {vertex.name: f"n{index}" for index, vertex in enumerate(self.vertices)}
        lines = ["flowchart LR"]
        for vertex in self.vertices:
            text = f"{vertex.name}<br/>{vertex.detail}" if vertex.detail else vertex.name
            lines.append(f'  {number[vertex.name]}["{text.replace(chr(34), "#quot;")}"]')
        for edge in self.edges:
            label = f'|"{edge.label}"|' if edge.label else ""
            lines.append(f"  {number[edge.before]} -->{label} {number[edge.after]}")
        return "\n".join(lines)


def describe(graph: Graph) -> Description:
    """The graph of a pipeline, for people and for programs."""
    maker = _Maker(graph.name, graph.source_names() if graph.source is not None else [])
    maker.chain(graph, None, "", "")
    return Description(graph.name, tuple(maker.vertices), tuple(maker.edges), tuple(maker.lines))


class _Maker:
    def __init__(self, name: str, sources: list[str]) -> None:
        self._sources = iter(sources)
        self.vertices: list[Vertex] = []
        self.edges: list[Edge] = []
        self.lines = [name]

    def chain(self, graph: Graph, before: str | None, label: str, indent: str) -> list[str]:
        """Add the steps behind `before`; returns the last ones, from which items come out."""
        tails: list[str] = [] if before is None else [before]
        if graph.source is not None:
            tails = [self._add(next(self._sources), "source", _source(graph.source), [], "", indent)]
        for step in graph.steps:
            if isinstance(step, Split):
                name = self._add(step.name, "split", f"by {checks.name_of(step.by)}", tails, label, indent)
                tails = []
                for key, branch in step.every_branch():
                    self.lines.append(
                        f"{indent}  ├ {key!r}" if key != "otherwise" else f"{indent}  ├ otherwise"
                    )
                    tails.extend(self.chain(branch, name, str(key), f"{indent}  │ "))
            elif isinstance(step, Loop):
                name = self._add(step.name, "loop", _loop(step), tails, label, indent)
                tails = self.chain(step.body, name, "", f"{indent}  │ ")
                self.edges += [Edge(one, name, "again") for one in tails]
            elif isinstance(step, Meet):
                for other in step.others:
                    self.lines.append(f"{indent}  ├ beside it")
                    tails.extend(self.chain(other, None, "", f"{indent}  │ "))
                tails = [self._add(step.name, step.how, _meeting(step), tails, "", indent)]
            else:
                tails = [self._add(step.name, _kind(step), _detail(step), tails, label, indent)]
            label = ""
        return [] if graph.steps and isinstance(graph.steps[-1], (To, Reduce)) else tails

    def _add(self, name: str, kind: str, detail: str, before: Iterable[str], label: str, indent: str) -> str:
        taken = {vertex.name for vertex in self.vertices}
        unique = (
            name
            if name not in taken
            else next(f"{name} {n}" for n in range(2, 10**6) if f"{name} {n}" not in taken)
        )
        self.vertices.append(Vertex(unique, kind, detail))
        self.edges += [Edge(one, unique, label) for one in before]
        arrow = "  " if kind == "source" else "→ "
        shown = f"{kind} {unique}" if kind not in (unique, "source", "to") else unique
        self.lines.append(f"{indent}  {arrow}{shown}{f'   {detail}' if detail else ''}")
        return unique


def _source(source: Any) -> str:
    if isinstance(source, (list, tuple, set, frozenset, dict)):
        return f"{type(source).__name__} of {len(source):,}"  # pyright: ignore[reportUnknownArgumentType]
    text = repr(source)
    if text.startswith("<"):
        text = checks.name_of(source)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _loop(step: Loop) -> str:
    if step.unique is None:
        return ""
    name = checks.name_of(step.unique)
    return "each item once" if name.startswith("_") else f"once for each {name}"


def _meeting(step: Meet) -> str:
    words = ["in step"] if step.how == "zip" else []
    if step.weights is not None:
        words.append(f"{' : '.join(map(str, step.weights))} in turn")
    if step.priorities is not None:
        words.append(f"priorities {', '.join(map(str, step.priorities))}")
    if step.strict:
        words.append("strict")
    return ", ".join(words)


def _kind(step: Step) -> str:
    if isinstance(step, Stage):
        return step.kind
    return type(step).__name__.lower()


def _detail(step: Step) -> str:
    if isinstance(step, Stage):
        words = [step.on()]
        if step.ordered and not step.joins:
            words.append("in order")
        if step.key is not None:
            words.append(f"keyed by {checks.name_of(step.key)}")
        if step.max_in_flight is not None:
            words.append(f"at most {step.max_in_flight} in flight")
        if step.unpack:
            words.append("items unpacked")
        if fixed := len(step.args) + len(step.kwargs or ()):
            words.append(f"{fixed} more argument{'s' if fixed > 1 else ''}")
        if step.retries:
            words.append(f"{step.retries} {'retry' if step.retries == 1 else 'retries'}")
        if step.timeout is not None:
            words.append(f"at most {step.timeout:g} s")
        if step.setup_timeout is not None:
            words.append(f"setup at most {step.setup_timeout:g} s")
        if step.teardown_timeout is not None:
            words.append(f"teardown at most {step.teardown_timeout:g} s")
        if step.initializer is not None:
            words.append(f"initialized by {checks.name_of(step.initializer)}")
        limits = [
            f"{step.max_items_per_worker:,} items" if step.max_items_per_worker is not None else "",
            str(step.max_worker_memory) if step.max_worker_memory is not None else "",
        ]
        if any(limits):
            words.append(f"workers renewed at {' or '.join(filter(None, limits))}")
        if step.on_error != "stop":
            word = step.on_error if isinstance(step.on_error, str) else checks.name_of(step.on_error)
            words.append(f"errors: {word}")
        return ", ".join(words)
    if isinstance(step, Batch):
        return f"of {step.size}" + (f", after {step.seconds:g} s at most" if step.seconds is not None else "")
    if isinstance(step, (Unbatch, Tee, To)):
        return ""
    return "in this process" if isinstance(step, Reduce) else ""
