"""CallLog: which function was called on what, when, and what came of it; and what must hold of that at any time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from conveyor.pipeline.testing.broken import Broken
from conveyor.pipeline.testing.simulated_world import SimulatedWorld

_LEAST_SPREAD = 0.5  # of a back-off: chance makes it shorter by half at most
_ROUNDING = 1e-6


class Flaky(Exception):
    """Raised by a function on purpose."""


def elements(value: Any) -> list[str]:
    """The values in a list of lists, or the value itself."""
    return [one for part in value for one in elements(part)] if isinstance(value, list) else [value]


@dataclass
class Calls:
    """What a stage's function was called on."""

    begun: int = 0
    """How often, with those that are made ahead of their time and never take place, as their worker is dead then."""
    count: int = 0
    at: float = 0.0
    by: object = None


@dataclass
class CallLog:
    """Of one run."""

    seed: int
    world: SimulatedWorld | None = None
    calls: dict[tuple[str, str], Calls] = field(default_factory=dict)
    by_key: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def call(self, function: Function, value: Any) -> bool:
        """A function is called; returns whether it is its fate to raise."""
        text = "+".join(elements(value))
        calls = self.calls.setdefault((function.name, text), Calls())
        calls.begun += 1
        raises = draw(self.seed, function.name, text, calls.begun) < function.fails
        assert self.world is not None
        assert self.world.acting is not None
        self.world.acting.note(lambda: self._take_place(function, value, text, raises))
        return raises

    def _take_place(self, function: Function, value: Any, text: str, raises: bool) -> None:
        assert self.world is not None
        now = self.world.time
        calls = self.calls[function.name, text]
        self.world.note(f"{function.name} is called on {text}{', and raises' * raises}")
        if calls.count > function.retries:
            raise Broken(
                f"{function.name} is called on {text} for the {calls.count + 1}. time; {function.retries} retries"
            )
        # A keyed item whose worker has died goes to another at once: others of its key wait for it.
        if calls.count and function.backoff and (calls.by is self.world.acting or not function.keyed):
            least = min(function.backoff * 2.0 ** (calls.count - 1), 60.0) * _LEAST_SPREAD
            if now < calls.at + least - _ROUNDING:
                raise Broken(f"{function.name} is called on {text} again after {now - calls.at:.3f} s")
        if (
            function.in_order
        ):  # items of a key come in the order of the source, and none before the one before is done
            places = self.by_key.setdefault((function.name, function.key_of(value)), [])
            place = int(elements(value)[0].split(".")[0])
            if places and places[-1] > place:
                raise Broken(
                    f"{function.name} is called on {text} after {places[-1]}, which has the same key"
                )
            places.append(place)
        calls.count += 1
        calls.at = now
        calls.by = self.world.acting


def draw(*what: Any) -> float:
    """A number from 0 to 1 that depends on nothing else."""
    return (zlib.crc32(repr(what).encode()) * 2654435761 % 2**32) / 2**32


@dataclass
class Function:
    """What a stage calls: it appends its letter to a string, and may give several or none."""

    log: CallLog
    kind: str
    name: str
    letter: str
    many: int = 1
    fails: float = 0.0
    retries: int = 0
    backoff: float = 0.0
    keyed: bool = False
    in_order: bool = False

    def __deepcopy__(self, memo: Any) -> Function:
        return self  # the log is one

    def pure(self, value: str) -> list[str]:
        """What comes of a value."""
        if self.kind == "filter":
            return [value] if draw("filter", self.letter, value) < 0.7 else []
        if self.kind == "map":
            return [f"{value}.{self.letter}"]
        return [f"{value}.{self.letter}{number}" for number in range(self.results_of(value))]

    def results_of(self, value: str) -> int:
        return int(draw("many", self.letter, value) * (self.many + 1))

    @staticmethod
    def key_of(value: Any) -> int:
        return int(elements(value)[0].split(".")[0]) % 3

    def __call__(self, value: Any) -> Any:
        raises = self.log.call(self, value)
        if raises and self.kind == "flat_map" and isinstance(value, str):
            return self._some_and_raise(value)
        if raises:
            raise Flaky(value)
        if isinstance(value, list):
            return [self.pure(one)[0] if isinstance(one, str) else one for one in value]
        made = self.pure(value)
        if self.kind == "filter":
            return bool(made)
        return made[0] if self.kind == "map" else iter(made)

    def _some_and_raise(self, value: str) -> Iterator[str]:
        made = self.pure(value)
        yield from made[: int(draw("some", value) * (len(made) + 1))]
        raise Flaky(value)


@dataclass
class LivingFunction(Function):
    """One that each worker sets up and tears down."""

    def __deepcopy__(self, memo: Any) -> LivingFunction:
        return LivingFunction(**{name: getattr(self, name) for name in self.__dataclass_fields__})

    def setup(self) -> None:
        self.ready = True

    def teardown(self) -> None:
        self.ready = False

    def __call__(self, value: Any) -> Any:
        if not self.ready:
            raise Broken(f"{self.name} is called and was not set up")
        return super().__call__(value)
