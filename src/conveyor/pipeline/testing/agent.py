"""Agent: a simulated worker's own side, which runs the true code of a worker a step at a time."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from ...errors import NotSupported
from ..worker.identity_words import IdentityWords
from ..worker.messages import (
    AGAIN,
    DROPPED,
    LEFT,
    PART,
    READY,
    REST,
    SAID,
    SEEDED,
    SLOW,
    VALUE,
    WORN,
    Unreadable,
    kind_of,
)
from ..worker.serve import Job, Worker
from .death import Moment
from .simulated_status_page import SimulatedStatusPage

if TYPE_CHECKING:
    from .turns import Turns

__all__ = ["Agent"]

_NEVER = float("inf")
_BROKEN = 1
# Messages that are the same on both sides of a process's border.
_BARE = (str, bytes, int, float, bool, type(None))
_WORDS = (DROPPED, LEFT, PART, READY, SLOW, WORN)
# A simulated worker keeps all results of an item until it has the last.
_MOST_MESSAGES = 100_000
# A thread waits when so many lists with results of one item wait for the engine.
_PARTS = 4


class Agent:
    """A worker that acts when the world lets it.

    Its functions are called by `workers.serve.Worker`, as in a process. A call is made at once; what the worker says
    and notes meanwhile takes its place on a timeline, and becomes true when the world lets the worker take that step.
    It may die before any of them: then the rest never happens.

    Args:
        world: where it lives.
        job: what it does.
        stage: the name of its stage, for the fate.
        is_process: what goes in and out is pickled, and it has its own copies of the functions.
        status_page: where its figures are read.
        tell: called when it has results and had none; None: the poller looks for itself.
    """

    def __init__(
        self,
        world: Turns,
        job: Job,
        stage: str,
        is_process: bool,
        status_page: SimulatedStatusPage,
        tell: Callable[[], None] | None,
    ) -> None:
        self._world = world
        self._stage = stage
        self._is_process = is_process
        self._status_page = status_page
        self._tell = tell
        self.tasks: deque[Any] = deque()
        """Messages that it has not taken."""
        self.results: deque[Any] = deque()
        """Messages that nobody has taken from it."""
        self.holding = False
        """Whether it has taken an item of which no result is out."""
        self.ended = False
        self.exitcode: int | None = None
        self.due = 0.0
        """When it acts next; infinity: when something comes."""
        self._items: list[Any] = []
        self.time = world.time
        """The time as it is for its functions."""
        self._script: deque[tuple[float, Callable[[], None] | None, Any]] = deque()
        self._parts = 0
        self._began = self._takes = 0.0
        self._life = self._live(job)
        self._act_at(world.time + world.fate.seconds(stage, None), "start")

    # -- the clock of its own, which runs ahead while it is at an item -----------------------------------------

    def now(self) -> float:
        """The time as its functions would see it."""
        self.time += self._world.fate.lateness()
        return self.time

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.time += seconds

    def uniform(self, low: float, high: float) -> float:
        """A number drawn between two others."""
        return self._world.fate.uniform(low, high)

    # -- what it writes: see `StatusWriter` and `LapCounter` -------------------------------------------------------

    def note(self, write: Callable[[], None]) -> None:
        """Have something done when, for all others, it is as late as it is for the function that is called just now."""
        self._script.append((self.time, write, None))

    def note_setup(self, begins: bool) -> None:
        """Its setup begins, or is done."""
        self.note(lambda: self._status_page.note_setup(begins))

    def note_teardown(self) -> None:
        """Its teardown begins."""
        self.note(self._status_page.note_teardown)

    def note_link(self, position: int) -> None:
        """Say which of its functions is at work."""
        self.note(lambda: self._status_page.note_link(position))

    def note_attempt(self, number: int) -> None:
        """Say how often it has begun the current item."""
        self.note(lambda: self._status_page.note_attempt(number))

    def meter(self) -> Agent:
        """What counts its items."""
        self.begin()
        return self

    @property
    def unwanted(self) -> bool:
        """Whether nobody wants what else comes of the current item: known when that comes, see `_say_it`."""
        return False

    @property
    def identity(self) -> IdentityWords:
        """Who the worker is."""
        return self._status_page.identity

    def memory(self) -> int:
        """The bytes that it has to itself: by chance, up to a GiB."""
        return int(self._world.fate.uniform(0.0, 2.0**30))

    def idle(self) -> None:
        """There is no current item."""
        self.note(self._status_page.idle)

    def begin(self) -> None:
        """An item has come."""
        self._began = self.time
        self.note(self._status_page.begin)

    def pause(self) -> None:
        """The current item is put aside."""
        self._spend()
        self.note(self._status_page.pause)

    def lap(self) -> int:
        """The current item is done."""
        began, ended = self._began, self.time
        self._began = ended
        self.note(lambda: self._status_page.end_item(began, ended))
        return self._status_page.is_slow(ended - began)

    # -- what it says -----------------------------------------------------------------------------------------------

    def _spend(self) -> None:
        """Let the time pass that its function takes."""
        self.time, self._takes = self.time + self._takes, 0.0

    def _say(self, message: Any) -> None:
        self._spend()
        if self._is_process:
            message = across(message)
        if len(self._script) > _MOST_MESSAGES:
            raise NotSupported(
                f"stage {self._stage!r} made more than {_MOST_MESSAGES:,} messages of one item; a simulated worker "
                "keeps them all: give it an item with fewer results, or run the pipeline with real workers"
            )
        self._script.append((self.time, None, message))

    def put(self, message: Any) -> None:
        """A message is out."""
        self.results.append(message)
        if self._tell is not None and len(self.results) == 1:
            self._tell()

    # -- its life -----------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Take the next step, or die instead."""
        fate = self._world.fate.death(self._stage, self._moment, self._items)
        if fate is not None and self._is_process:
            self._world.note(f"{self._stage}: dies ({fate}) at {self._moment}, {self._items}")
            self.end(fate)
            return
        self._world.acting = self
        try:
            next(self._life, None)
        except BaseException:  # of a check, or something that cannot be simulated: the run is over
            self.end(_BROKEN)
            raise
        finally:
            self._world.acting = None

    def end(self, exitcode: int) -> None:
        """It is gone."""
        self._world.moved()
        self.ended = True
        self.exitcode = exitcode
        self.due = _NEVER
        self._world.agents.remove(self)
        if self._tell is not None:
            self._tell()

    def wake(self) -> None:
        """Something came that it may be waiting for."""
        if self.due == _NEVER and not self.ended:
            self._act_at(self._world.time, self._moment)

    def _act_at(self, when: float, moment: Moment) -> None:
        self.due = max(when, self._world.time) + self._world.fate.lateness()
        self._moment: Moment = moment

    def _live(self, job: Job) -> Iterator[None]:
        """Its steps. Between two of them it waits for the world, and may die."""
        world = self._world
        world.moved()
        self._status_page.arrive()
        worker = Worker(job, self._say, self, not self._is_process, self, world.part_size)
        self.time = world.time
        goes_on = worker.set_up()
        yield from self._say_it("setup")
        while goes_on:
            while not self.tasks:
                self.due = _NEVER
                self._moment = "take"
                yield
            self._act_at(world.time, "take")
            yield
            if not self.tasks:
                continue  # it was taken back
            goes_on = yield from self._serve(worker)
        self.time = world.time
        worker.tear_down()
        yield from self._say_it("teardown")
        self._act_at(world.time, "leave")
        yield
        self.end(0)

    def _serve(self, worker: Worker) -> Generator[None, None, bool]:
        world = self._world
        world.moved()
        message = self.tasks.popleft()
        item = self._items_of(message)
        self.holding = bool(item)
        self._items = item
        self.time = world.time
        self.begin()
        self._play_notes()
        self._takes = world.fate.seconds(self._stage, item[0]) if item else 0.0
        goes_on = worker.serve_one(message)
        self.idle() if not self.tasks else None
        yield from self._say_it("call")
        self.holding = False
        self._items = []
        return goes_on and not self._status_page.unwanted

    @staticmethod
    def _items_of(message: Any) -> list[Any]:
        if type(message) is not tuple:
            return [message]
        parts: tuple[Any, ...] = message  # pyright: ignore[reportUnknownVariableType]
        if parts[0] == SEEDED:
            return Agent._items_of(parts[2])
        if parts[0] == AGAIN:
            return [parts[2]]
        return [parts[1]] if parts[0] == VALUE else []

    def _play_notes(self) -> None:
        script = self._script
        while script and script[0][1] is not None:
            script.popleft()[1]()  # type: ignore[misc]

    def _say_it(self, moment: Moment) -> Iterator[None]:
        """Let what is on the timeline become true."""
        script = self._script
        parts = 0
        was_part = False
        behind = 0.0  # what comes late makes all that follows as late
        while script:
            planned, write, message = script[0]
            when = planned + behind
            if write is not None:
                if when > self._world.time:
                    self._act_at(when, moment)
                    yield
                    self._world.moved()
                behind = max(behind, self._world.time - planned)
                script.popleft()
                write()
                continue
            is_part = kind_of(message) == PART
            if is_part and self._status_page.unwanted:
                script.clear()  # the worker looks before it sends them, and leaves
                return
            while is_part and not self._is_process and self._parts >= _PARTS:
                self.due = _NEVER
                yield
            self._act_at(when, "part" if parts and moment == "call" else moment)
            yield
            self._world.moved()
            behind = max(behind, self._world.time - planned)
            script.popleft()
            if is_part:
                parts += 1
                self._parts += 1
            elif moment == "call" and not was_part and not is_word(message):
                self.holding = False
                moment = "result"
            was_part = is_part
            self.put(message)

    def took_parts(self, count: int) -> None:
        """The engine has taken so many lists with results of one item."""
        self._parts -= count
        self.wake()


def is_word(message: Any) -> bool:
    """Whether a message has no result."""
    return kind_of(message) in (PART, SLOW, READY, LEFT, REST, SAID, WORN)


def across(message: Any) -> Any:
    """What becomes of a message between two processes; raises what pickling it raises."""
    if type(message) in _BARE:
        return message
    if kind_of(message) in _WORDS:
        return message
    data = pickle.dumps(message)
    try:
        return pickle.loads(data)
    except Exception as error:
        return Unreadable(error)
