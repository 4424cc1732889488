"""Worker: who a worker is, as its functions are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._public import public

if TYPE_CHECKING:
    import random

    from .arguments import Arguments
    from .identity_words import IdentityWords

__all__ = ["Worker", "call_takes_worker", "call_with", "mix", "takes_worker"]

_WORD = (1 << 64) - 1
_NAME = "worker"
_MANY = 1 << 30


@public
class Worker:
    """Who a worker is. Given to what asks for it by a parameter without a default that is called `worker`:

        class Store:
            def setup(self, worker): self.file = open(f"part-{worker.rank}.txt", "a")
            def __call__(self, item): ...
            def teardown(self, worker): ...

        def simulate(item, worker): return worker.rng.random()

    A plain function, `__call__`, `setup`, `teardown` and an `initializer` may ask for it. It may be kept, by the
    worker itself; it is no use anywhere else.
    """

    def __init__(self, stage: str, count: int, words: IdentityWords) -> None:
        self._stage = stage
        self._count = count
        self._words = words
        self.read()
        self._is_worn = False
        self._item_seed: int | None = None
        self._rng: random.Random | None = None
        self.state: Any = None
        """What the stage's `initializer` returned; None: there is none. The worker may keep here what it likes."""

    @property
    def rank(self) -> int:
        """Its number among the workers of its stage, from 0. Who takes its place, when it has died or is renewed, has
        the same; no two workers have it at the same time."""
        return self._rank

    @property
    def stage(self) -> str:
        """The name of its stage: of several that the same workers do, the first."""
        return self._stage

    @property
    def count(self) -> int:
        """How many workers the stage may have at a time; ranks are below that."""
        return self._count

    @property
    def attempt(self) -> int:
        """How many workers of this rank the run has started, this one included: 1 for the first."""
        return self._start

    @property
    def seed(self) -> int:
        """64 bits that differ for each worker; with `run(seed=...)` the same for its stage, rank and attempt."""
        return self._seed

    @property
    def item_seed(self) -> int | None:
        """With `run(seed=...)`: 64 bits that belong to the item in hand, whoever works on it; else, and in setup and
        teardown, None."""
        return self._item_seed

    @property
    def rng(self) -> random.Random:
        """A generator of its own, of `seed`; with `run(seed=...)` it begins anew with each item, of `item_seed`."""
        if self._rng is None:
            import random

            self._rng = random.Random(self.seed if self._item_seed is None else self._item_seed)
        return self._rng

    @property
    def is_last(self) -> bool:
        """In `teardown()`: whether the stage has come to its end, and all its other workers have torn down. One worker
        is told so in a run that is not ended early, if `teardown()` asks for the worker."""
        return self._words.is_last and not self._is_worn

    def read(self) -> None:
        """For conveyor itself: a run begins."""
        words = self._words
        self._rank, self._start, self._seed = words.rank, words.start, words.seed

    def wear_out(self) -> None:
        """For conveyor itself: it is to be renewed, and so it is not the last, whatever its page will say."""
        self._is_worn = True

    def begin_item(self, seed: int) -> None:
        """For conveyor itself: an item begins."""
        self._item_seed = seed
        if self._rng is not None:
            self._rng.seed(seed)

    def end_items(self) -> None:
        """For conveyor itself: there is no item in hand any more."""
        self._item_seed = None
        self._rng = None

    def __repr__(self) -> str:
        return f"<Worker {self.rank} of {self.count}, stage {self.stage!r}, attempt {self.attempt}>"


def mix(*parts: int | str) -> int:
    """64 bits that depend on all of these: by the steps of SplitMix64 (Steele, Lea and Flood, 2014)."""
    found = 0
    for part in parts:
        if isinstance(part, str):
            import zlib

            part = zlib.crc32(part.encode())
        found = (found + (part & _WORD) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & _WORD
        found = ((found ^ (found >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        found = ((found ^ (found >> 27)) * 0x94D049BB133111EB) & _WORD
        found ^= found >> 31
    return found


def takes_worker(function: Any, by_place: int = 0) -> bool:
    """Whether it asks for the worker: by a parameter `worker` that has no default, and that nothing else fills.

    Args:
        function: anything that can be called; of a class, the object that is made of it is meant.
        by_place: how many arguments it is called with by place.
    """
    # `inspect` takes longer to import than a spawned worker needs for all else.
    for _ in range(100):  # wrapped in each other, and in no circle
        inner = getattr(function, "__wrapped__", None)
        if inner is not None:
            function = inner
        elif hasattr(function, "__func__"):
            function, by_place = function.__func__, by_place + 1
        elif hasattr(function, "func") and hasattr(function, "keywords"):  # functools.partial
            keywords: Any = function.keywords
            if _NAME in keywords:
                return False
            function, by_place = function.func, by_place + len(function.args)
        elif hasattr(function, "__code__"):
            break
        else:
            kind = function if isinstance(function, type) else type(function)
            called = getattr(kind, "__call__", None)  # noqa: B004 - the function, to look at
            if called is None or not hasattr(called, "__code__"):
                return False
            function, by_place = called, by_place + 1
    found: Any = function
    code: Any = getattr(found, "__code__", None)
    if code is None:
        return False
    names: list[str] = list(code.co_varnames)
    positional: int = code.co_argcount
    defaults: list[str] = list(found.__kwdefaults__ or ())
    if _NAME in names[positional : positional + code.co_kwonlyargcount]:
        return _NAME not in defaults
    if _NAME in names[:positional]:
        return by_place <= names.index(_NAME) < positional - len(found.__defaults__ or ())
    return False


def call_takes_worker(function: Any, arguments: Arguments | None) -> bool:
    """Whether it asks for the worker when it is called for an item.

    Args:
        function: that.
        arguments: what it is called with beside the item, or in its place; None: nothing.
    """
    if arguments is None:
        return takes_worker(function, 1)
    if _NAME in arguments.kwargs:
        return False
    return takes_worker(function, _MANY if arguments.unpack else 1 + len(arguments.args))


def call_with(worker: Worker | None, function: Any) -> Any:
    """Call it, with the worker if it asks for that."""
    if worker is not None and takes_worker(function):
        return function(worker=worker)
    return function()
