"""Steps that are done by the engine itself, for they hardly cost anything."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

from ..errors import PipelineError
from .desk import Desk
from .node import Node, Origins
from .sinks import Sink
from .sources import Source

__all__ = ["BatchNode", "Join", "SinkNode", "SourceNode", "SplitNode", "TeeNode", "UnbatchNode"]

_ROOM = 4096
_QUEUE_LOOK_SECONDS = 0.4


class SourceNode(Node):
    """Where values come from.

    Args:
        source: the source.
        desk: the engine.
        tracked: give each value its place in the source for an origin.
        skip: whether the value at that place is to be left out.
    """

    def __init__(
        self, source: Source[Any], desk: Desk, tracked: bool = False, skip: Callable[[int], bool] | None = None
    ) -> None:
        super().__init__("source")
        self.source = source
        self._desk = desk
        self._tracked = tracked
        self._skip = skip
        self._closed = False
        self.error: BaseException | None = None
        """What the source raised; nothing more is read from it then."""
        self.skipped = 0
        self.spent = 0.0
        """Seconds in which it was read, or waited for."""
        self._waited_since = 0.0

    def read(self) -> None:
        """The source's descriptor is readable."""
        if self.outlet is not None and not self._closed:
            self._fill(max(self.outlet.wants(), 1))

    def _fill(self, want: int) -> None:
        before = perf_counter()
        try:
            self.source.fill(want)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            self.error = error
            self._desk.fail_after(error)
            self._closed = True
        finally:
            if not self._waited_since:
                self.spent += perf_counter() - before

    def _waited(self, waits: bool) -> None:
        now = perf_counter()
        if self._waited_since:
            self.spent += now - self._waited_since
        self._waited_since = now if waits else 0.0

    def advance(self, now: float) -> bool:
        """Bring as much as is wanted."""
        outlet = self.outlet
        assert outlet is not None
        want = outlet.wants()
        if want <= 0 or self.finished_reading and not self.source.available:
            if self._waited_since:
                self._waited(waits=False)
            return False
        if not self.source.available and self.source.fileno() is None:
            self._fill(want)
        elif self.source.fileno() is None and not self.source.exhausted and self.source.available < want:
            self._fill(want)
        values = self.source.take(want) if self.source.available else []
        if self._waited_since or not values:
            self._waited(waits=not values and not self.finished_reading)
        if not values:
            return False
        first = self.taken
        self.taken += len(values)
        origins: Origins = None
        if self._tracked:
            origins = list(range(first, first + len(values)))
            if self._skip is not None:
                kept = [number for number in origins if not self._skip(number)]
                if len(kept) < len(values):
                    self.skipped += len(values) - len(kept)
                    values = [values[number - first] for number in kept]
                    origins = kept
        self.given += len(values)
        if values:
            self._desk.begun(origins)
            outlet.accept(values, origins)
        return True

    @property
    def wants_input(self) -> bool:
        """Whether the source's descriptor is to be watched."""
        outlet = self.outlet
        assert outlet is not None
        return not self.finished_reading and not self.source.available and outlet.wants() > 0

    @property
    def finished_reading(self) -> bool:
        """Whether nothing more will be read."""
        return self._closed or self.source.exhausted

    def close_input(self) -> None:
        """Read nothing more."""
        self._closed = True

    @property
    def held(self) -> int:
        """Values read and not passed on."""
        return 0 if self._closed and self.error is None else self.source.available

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.finished_reading and self.held == 0

    def deadline(self) -> float | None:
        """A queue's end is looked for now and then: a dead producer does not tell."""
        if self.finished_reading or self.source.fileno() is None or self.source.total is not None:
            return None
        return monotonic() + _QUEUE_LOOK_SECONDS


class BatchNode(Node):
    """Collects values into lists.

    Args:
        stage: its name.
        size: values in a list.
        seconds: after the first value a list waits no longer for more; None: for ever.
    """

    def __init__(self, stage: str, size: int, seconds: float | None) -> None:
        super().__init__(stage)
        self._size = size
        self._seconds = seconds
        self._batch: list[Any] = []
        self._origins: Origins = None
        self._due: float | None = None

    def wants(self) -> int:
        """Whatever there is, as long as whole lists go away."""
        return 0 if self.choked else max(self._size - len(self._batch), 1) + _ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        if not self._batch and self._seconds is not None:
            self._due = monotonic() + self._seconds
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
            origins = [tuple(self._origins[at : min(at + size, until)]) for at in range(0, until, size)]
            self._origins = self._origins[until:]
        self._batch = self._batch[until:]
        again = self._batch and self._seconds is not None
        self._due = monotonic() + self._seconds if again and self._seconds is not None else None
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
    """Takes lists apart."""

    def __init__(self, stage: str, desk: Desk) -> None:
        super().__init__(stage)
        self._desk = desk

    def wants(self) -> int:
        """A few lists, when all is gone: they may be long."""
        return 0 if self.choked else 16

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take lists."""
        self.taken += len(values)
        out: list[Any] = []
        whose: Origins = None if origins is None else []
        for index, value in enumerate(values):
            try:
                some = list(value)
            except TypeError:
                text = f"stage {self.stage!r} got a {type(value).__name__}, {value!r:.60}; it takes lists apart"
                self._desk.fail(PipelineError(text))
                return
            out += some
            if origins is not None and whose is not None:
                whose += [origins[index]] * len(some)
                self._desk.spread(origins[index], len(some))
        self._emit(out, whose)


class TeeNode(Node):
    """Shows each value to somebody, and passes it on.

    Args:
        stage: its name.
        sink: who sees the values.
        desk: the engine.
    """

    def __init__(self, stage: str, sink: Sink, desk: Desk) -> None:
        super().__init__(stage)
        self.sink = sink
        self._desk = desk
        self._unseen: list[Any] = []
        self._unseen_origins: Origins = None
        self.spent = 0.0
        """Seconds in which values were shown, or could not be."""
        self._full_since = 0.0

    def wants(self) -> int:
        """Whatever there is, unless somebody is slow."""
        return 0 if self.choked or self._unseen else _ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        self._unseen, self._unseen_origins = values, origins
        self._show()

    def _show(self) -> bool:
        values, origins = self._unseen, self._unseen_origins
        since = self._full_since or perf_counter()
        try:
            count = self.sink.take(values)
        except Exception as error:
            error.add_note(f"in stage {self.stage!r}")
            self._desk.fail(error)
            return False
        now = perf_counter()
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

    def deadline(self) -> float | None:
        """A full queue does not tell when it has room."""
        return monotonic() + 0.005 if self._unseen else None


class SinkNode(TeeNode):
    """Where values end."""

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """Failures are no values to be merged."""
        self._seen([], origins)

    def _seen(self, values: list[Any], origins: Origins) -> None:
        self.given += len(values)
        if origins is not None:
            for origin in origins:
                self._desk.spread(origin, 0)


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
        self, stage: str, by: Callable[[Any], Any], branches: dict[Any, Node], otherwise: Node | None, desk: Desk
    ) -> None:
        super().__init__(stage)
        self._by = by
        self._desk = desk
        self.heads: list[Node] = []
        self.open(branches, otherwise)

    def open(self, branches: dict[Any, Node], otherwise: Node | None) -> None:
        """Say where the branches begin."""
        self._branches = branches
        self._otherwise = otherwise
        self.heads = [*branches.values(), *([] if otherwise is None else [otherwise])]

    def wants(self) -> int:
        """As much as any branch would take: nobody knows which it will be."""
        return min(head.wants() for head in self.heads)

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
                self._desk.fail(error)
                return
            if head is None:
                known = ", ".join(map(repr, self._branches))
                text = f"stage {self.stage!r} got {name!r} for {value!r:.60}, and its branches are {known}; "
                self._desk.fail(PipelineError(text + "say otherwise= for all the rest"))
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

    def wants(self) -> int:
        """Whatever there is, when all is gone."""
        return 0 if self.choked else _ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        self._emit(values, origins)


