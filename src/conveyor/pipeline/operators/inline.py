"""Steps that are done by the engine itself, for they hardly cost anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from ...errors import PipelineError
from ..flow.lineage import Lineage
from ..sinks.sinks import Sink
from ..supervise.engine_context import EngineContext
from .node import Node, Origins

__all__ = ["BatchNode", "Join", "SinkNode", "SplitNode", "TeeNode", "UnbatchNode"]

_ROOM = 4096


class BatchNode(Node):
    """Collects values into lists.

    Args:
        stage: its name.
        size: values in a list.
        seconds: after the first value a list waits no longer for more; None: for ever.
        desk: the engine.
    """

    def __init__(self, stage: str, size: int, seconds: float | None, context: EngineContext) -> None:
        super().__init__(stage)
        self._context = context
        self._size = size
        self._seconds = seconds
        self._batch: list[Any] = []
        self._origins: Origins = None
        self._due: float | None = None

    def demand(self) -> int:
        """Whatever there is, as long as whole lists go away."""
        return 0 if self.blocked else max(self._size - len(self._batch), 1) + _ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        if not self._batch and self._seconds is not None:
            self._due = self._context.now() + self._seconds
        self._batch = self._batch + values
        if origins is not None:
            self._origins = [*(self._origins or []), *origins]
        whole = len(self._batch) // self._size * self._size
        if whole:
            self._cut(whole)

    def _cut(self, until: int) -> None:
        size = self._size
        batches = [self._batch[at : min(at + size, until)] for at in range(0, until, size)]
        origins: Origins = None
        if self._origins is not None:
            origins = [Lineage(self._origins[at : min(at + size, until)]) for at in range(0, until, size)]
            self._origins = self._origins[until:]
        self._batch = self._batch[until:]
        again = self._batch and self._seconds is not None
        self._due = self._context.now() + self._seconds if again and self._seconds is not None else None
        self._emit(list(batches), origins)

    def advance(self, now: float) -> bool:
        """Pass on what is whole, or has waited long enough, or will not grow."""
        if self._batch and (self.inlets == 0 or (self._due is not None and now >= self._due)):
            self._cut(len(self._batch))
        return self._pass_on()

    @property
    def held(self) -> int:
        """Values that wait."""
        return super().held + len(self._batch)

    def deadline(self) -> float | None:
        """When the list has waited long enough."""
        return self._due


class UnbatchNode(Node):
    """Takes lists apart, or whatever else can be iterated, as far as the node behind it wants: it may have no end."""

    def __init__(self, stage: str, context: EngineContext) -> None:
        super().__init__(stage)
        self._context = context
        self._lists: deque[tuple[Iterator[Any], Any]] = deque()  # what is left of each, and its origin
        self._traced = False  # whether somebody keeps account of origins

    def demand(self) -> int:
        """A few lists, when all is gone: they may be long."""
        return 0 if self.blocked or self._lists else 16

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take lists."""
        self.taken += len(values)
        self._traced = origins is not None
        for index, value in enumerate(values):
            try:
                some = iter(value)
            except TypeError:
                text = (
                    f"stage {self.stage!r} got a {type(value).__name__}, {value!r:.60}; it takes lists apart"
                )
                self._fail(PipelineError(text))
                return
            self._lists.append((some, None if origins is None else origins[index]))
        self._spread()

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """In their turn, behind the values of the lists that came before them."""
        self._traced = origins is not None
        whose = [None] * len(failures) if origins is None else origins
        self._lists += ((iter((failure,)), origin) for failure, origin in zip(failures, whose, strict=True))
        self._spread()

    def _spread(self) -> bool:
        if self.blocked or not self._lists:
            return False
        out: list[Any] = []
        whose: list[Any] = []
        while self._lists and len(out) < _ROOM:
            some, origin = self._lists[0]
            asked = _ROOM - len(out)
            try:
                part = list(islice(some, asked))
            except Exception as error:
                error.add_note(f"in stage {self.stage!r}, in iterating what it got")
                self._fail(error)
                return True
            out += part
            rest = len(part) == asked  # which counts as one until it is known
            if not rest:
                self._lists.popleft()
            if self._traced:
                whose += [origin] * len(part)
                self._context.fanned_out(origin, len(part) + rest)
        self._emit(out, whose if self._traced else None)
        return True

    def _fail(self, error: Exception) -> None:
        self._lists.clear()
        self._context.fail(error)

    def advance(self, now: float) -> bool:
        """Pass on what there is, and take apart some more."""
        passed = self._pass_on()
        return self._spread() or passed

    @property
    def held(self) -> int:
        """Values that wait, and lists that are not taken apart to their end."""
        return super().held + len(self._lists)

    @property
    def held_up(self) -> bool:
        """Whether there is anything."""
        return bool(self._out or self._lists)


class TeeNode(Node):
    """Shows each value to somebody, and passes it on.

    Args:
        stage: its name.
        sink: who sees the values.
        desk: the engine.
    """

    def __init__(self, stage: str, sink: Sink, context: EngineContext) -> None:
        super().__init__(stage)
        self.sink = sink
        self._context = context
        self._unseen: list[Any] = []
        self._unseen_origins: Origins = None
        self.spent = 0.0
        """Seconds in which values were shown, or could not be."""
        self._full_since = 0.0
        self._broken = False  # it raised, and is not called again

    def demand(self) -> int:
        """Whatever there is, unless somebody is slow."""
        return 0 if self.blocked or self._unseen else _ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        assert not self._unseen, "it was pushed more than it wants"
        self._unseen, self._unseen_origins = values, origins
        self._show()

    def _show(self) -> bool:
        if self._broken:
            return False
        values, origins = self._unseen, self._unseen_origins
        since = self._full_since or self._context.now()
        try:
            count = self.sink.take(values)
        except Exception as error:
            self._broken = True
            error.add_note(f"in stage {self.stage!r}")
            self._context.fail(error)
            return False
        now = self._context.now()
        self.spent += now - since
        self._full_since = now if count < len(values) else 0.0
        self._unseen = values[count:]
        self._unseen_origins = None if origins is None else origins[count:]
        self._seen(values[:count], None if origins is None else origins[:count])
        return count > 0

    def _seen(self, values: list[Any], origins: Origins) -> None:
        self._emit(values, origins)

    def advance(self, now: float) -> bool:
        """Show what is left, pass on the rest."""
        shown = bool(self._unseen) and self._show()
        return self._pass_on() or shown

    @property
    def held(self) -> int:
        """Values that wait."""
        return super().held + len(self._unseen)

    @property
    def held_up(self) -> bool:
        """Whether values wait."""
        return bool(self._out or self._unseen)

    def deadline(self) -> float | None:
        """A full queue does not tell when it has room."""
        return self._context.now() + 0.005 if self._unseen else None


class SinkNode(TeeNode):
    """Where values end."""

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """Failures are no values to be merged."""
        self._seen([], origins)

    def _seen(self, values: list[Any], origins: Origins) -> None:
        self.given += len(values)
        if origins is not None:
            for origin in origins:
                self._context.fanned_out(origin, 0)


class SplitNode(Node):
    """Sends each value to one of several branches.

    Args:
        stage: its name.
        by: of a value, which branch it belongs to.
        branches: their first nodes.
        otherwise: the branch of all other values; None: a value of no branch is an error.
        desk: the engine.
    """

    def __init__(
        self,
        stage: str,
        by: Callable[[Any], Any],
        branches: dict[Any, Node],
        otherwise: Node | None,
        context: EngineContext,
    ) -> None:
        super().__init__(stage)
        self._by = by
        self._context = context
        self.heads: list[Node] = []
        self.open(branches, otherwise)

    def open(self, branches: dict[Any, Node], otherwise: Node | None) -> None:
        """Say where the branches begin."""
        self._branches = branches
        self._otherwise = otherwise
        self.heads = [*branches.values(), *([] if otherwise is None else [otherwise])]

    def demand(self) -> int:
        """As much as any branch would take: nobody knows which it will be."""
        return min(head.demand() for head in self.heads)

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        parts: dict[int, tuple[Node, list[Any], list[Any]]] = {}
        for index, value in enumerate(values):
            try:
                name = self._by(value)
                head = self._branches.get(name, self._otherwise)
            except Exception as error:
                error.add_note(f"in stage {self.stage!r} on {value!r:.200}")
                self._context.fail(error)
                return
            if head is None:
                known = ", ".join(map(repr, self._branches))
                text = f"stage {self.stage!r} got {name!r} for {value!r:.60}, and its branches are {known}; "
                self._context.fail(PipelineError(text + "say otherwise= for all the rest"))
                return
            part = parts.setdefault(id(head), (head, [], []))
            part[1].append(value)
            if origins is not None:
                part[2].append(origins[index])
        for head, some, whose in parts.values():
            self.given += len(some)
            head.accept(some, None if origins is None else whose)

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """They belong to no branch, so any will do."""
        self.heads[0].accept(failures, origins)

    def outlets(self) -> list[Node]:
        """The branches."""
        return self.heads

    def advance(self, now: float) -> bool:
        """Nothing is held here."""
        return False


class Join(Node):
    """Where branches meet."""

    def demand(self) -> int:
        """Whatever there is, when all is gone."""
        return 0 if self.blocked else _ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        self._emit(values, origins)
