"""What a user's class may derive from: conveyor's classes beside anything that the standard library's go with."""

from __future__ import annotations

import ctypes
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import new_class
from typing import Any, Generic, Protocol, TypeVar

import pytest

import conveyor

T = TypeVar("T")
S = TypeVar("S", covariant=True)


class Sized(Protocol[S]):
    def size(self) -> S: ...


class Meta(type):
    """A metaclass of the program's own."""


class WithMeta(metaclass=Meta):
    pass


class Named(ABC):
    @abstractmethod
    def name_it(self) -> str: ...


class Record(ctypes.Structure):
    _fields_: typing.ClassVar = [("x", ctypes.c_int)]


# How an object of each class, or of a class derived from it, is made and shown to work.
TOPIC = conveyor.Topic()


def moves(queue: Any) -> bool:
    queue.put((1, "a"))
    return bool(queue.get() == (1, "a"))


def locks(lock: Any) -> bool:
    with lock:
        return True


def stores(mapping: Any) -> bool:
    mapping["a"] = 1
    return bool(mapping["a"] == 1 and len(mapping) == 1 and "a" in mapping)


def receives(subscription: Any) -> bool:
    TOPIC.publish(3)
    return bool(subscription.get() == 3)


PUBLIC: dict[Any, tuple[tuple[Any, ...], Callable[[Any], bool]]] = {
    conveyor.Queue: ((), moves),
    conveyor.JoinableQueue: ((), moves),
    conveyor.SimpleQueue: ((), moves),
    conveyor.Lock: ((), locks),
    conveyor.RLock: ((), locks),
    conveyor.Semaphore: ((), locks),
    conveyor.BoundedSemaphore: ((), locks),
    conveyor.Condition: ((), locks),
    conveyor.Event: ((), lambda event: event.set() or event.is_set()),
    conveyor.Barrier: ((1,), lambda barrier: barrier.wait() == 0),
    conveyor.SharedDict: ((), stores),
    conveyor.SharedList: (([1, 2],), lambda items: items[-1] == 2 and len(items) == 2),
    conveyor.SharedValue: ((), lambda value: value.add(2) == 2),
    conveyor.SharedArray: ((3,), lambda array: array[0] == 0),
    conveyor.SharedStruct: ((Record,), lambda record: record.x == 0),
    conveyor.Topic: ((), lambda topic: topic.publish(1) is None),
    conveyor.Subscription: ((TOPIC,), receives),
}
OTHERS: dict[str, tuple[Any, ...]] = {
    "generic": (Generic[T],),
    "iterable": (Iterable[T],),
    "typing.Iterable": (typing.Iterable[T],),
    "generic and iterable": (Generic[T], typing.Iterable[T]),  # as pypeln has it
    "protocol": (Sized[T],),
    "ABC": (ABC,),
    "context manager": (AbstractContextManager,),
    "metaclass": (WithMeta,),
    "abstract": (Named,),
}
MEMBERS = {
    "__iter__": lambda self: iter(()),
    "__enter__": lambda self: self,
    "__exit__": lambda self, *_: None,
    "name_it": lambda self: "it",
    "size": lambda self: 0,
}


def derived(base: Any, others: tuple[Any, ...]) -> Any:
    missing = {name: member for name, member in MEMBERS.items() if not hasattr(base, name)}
    # Python's own order of the bases decides: what ours has comes first.
    return new_class("Derived", (base, *others), exec_body=lambda body: body.update(missing))


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_may_have_other_bases(base: Any, others: tuple[Any, ...]) -> None:
    arguments, works = PUBLIC[base]
    made = derived(base, others)(*arguments)
    assert isinstance(made, base)
    assert works(made)


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_may_come_second(base: Any, others: tuple[Any, ...]) -> None:
    arguments, _ = PUBLIC[base]
    front, last = others[:1], others[1:]
    body = {name: member for name, member in MEMBERS.items() if not hasattr(base, name)}
    made = new_class("Derived", (*front, base, *last), exec_body=lambda made: made.update(body | MEMBERS))
    assert isinstance(made(*arguments), base)


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
def test_an_abstract_one_cannot_be_made(base: Any) -> None:
    arguments, _ = PUBLIC[base]
    abstract = new_class("Abstract", (base, Named))
    with pytest.raises(TypeError, match="abstract"):
        abstract(*arguments)


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
def test_its_metaclass_is_type(base: Any) -> None:
    assert type(base) is type


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
def test_may_be_initialised_once_more(base: Any) -> None:
    """As by two parents that each call the common one's `__init__`."""
    arguments, works = PUBLIC[base]
    made = base(*arguments)
    made.__init__(*arguments)
    assert works(made)


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
def test_one_that_was_never_initialised_says_so(base: Any) -> None:
    if base in (conveyor.SharedArray, conveyor.SharedStruct, conveyor.Condition, conveyor.Barrier):
        pytest.skip("plain attributes: an AttributeError names the one that is missing")
    _, works = PUBLIC[base]
    with pytest.raises(ValueError, match="not initialised"):
        works(base.__new__(base))


class TestTheStandardLibrarysAttributes:
    """Plain attributes there: whoever subclasses may assign them, before and after `super().__init__()`."""

    @pytest.mark.parametrize("base", [conveyor.Queue, conveyor.JoinableQueue])
    @pytest.mark.parametrize("name", ["_reader", "_writer", "_maxsize"])
    def test_may_be_assigned(self, base: Any, name: str) -> None:
        class Mine(base):
            def __init__(self) -> None:
                setattr(self, name, "before")
                super().__init__(5)
                assert getattr(self, name) != "before"
                setattr(self, name, "mine")

        mine = Mine()
        assert getattr(mine, name) == "mine"
        assert moves(mine)
        delattr(mine, name)
        assert getattr(mine, name) != "mine"

    def test_ends_are_made_once(self) -> None:
        queue = conveyor.Queue[int]()
        assert queue._reader is queue._reader
        assert queue._writer is queue._writer
        queue._writer.send(1)
        assert queue._reader.recv() == 1

    def test_closed_means_what_it_says(self) -> None:
        class Mine(conveyor.Queue[int]):
            def __init__(self) -> None:
                self._closed = False
                super().__init__()

        mine = Mine()
        assert not mine._closed
        mine._closed = True
        assert mine._closed
        with pytest.raises(ValueError, match="closed"):
            mine.put(1)
        mine._closed = False
        assert moves(mine)

    @pytest.mark.parametrize("base", [conveyor.Lock, conveyor.RLock, conveyor.Semaphore, conveyor.Event])
    def test_a_lock_may_be_given_another_semlock(self, base: Any) -> None:
        class Mine(base):
            pass

        mine = Mine()
        mine._semlock = other = base()
        assert mine._semlock is other

    @pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
    def test_any_other_may_be_put_on_an_object(self, base: Any) -> None:
        if base is conveyor.SharedStruct:
            pytest.skip("its attributes are the record's fields")
        arguments, works = PUBLIC[base]
        made = base(*arguments)
        made.label = "mine"
        assert made.label == "mine"
        assert works(made)

    @pytest.mark.parametrize("base", [conveyor.SimpleQueue])
    @pytest.mark.parametrize("name", ["_reader", "_writer", "_rlock", "_wlock", "_poll"])
    def test_of_a_simple_queue(self, base: Any, name: str) -> None:
        mine = base()
        setattr(mine, name, "mine")
        assert getattr(mine, name) == "mine"
        assert moves(mine)


class TestCalls:
    """The arguments of a method are sorted as Python's own are."""

    def test_by_name_and_by_place(self) -> None:
        queue = conveyor.Queue[int]()
        queue.put(obj=1, block=True, timeout=None)
        queue.put(2, timeout=1)
        assert queue.get(True, 1) == 1
        assert queue.get(timeout=1) == 2

    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (lambda queue: queue.put(), "put.. is missing its argument 'obj'"),
            (lambda queue: queue.put(1, True, 1, 1), r"put.. takes at most 3 arguments .4 given"),
            (lambda queue: queue.put(1, wait=1), "put.. got an unexpected keyword argument 'wait'"),
            (lambda queue: queue.put(1, obj=2), "put.. got multiple values for argument 'obj'"),
            (
                lambda queue: queue.get_many("many"),
                "get_many.. cannot take 'many', of type str, as its argument",
            ),
            (lambda queue: queue.get_many(None), "get_many.. cannot take None"),
            (lambda queue: queue.get_nowait(1), r"get_nowait.. takes at most 0 arguments"),
        ],
    )
    def test_those_that_do_not_fit_are_named(self, call: Callable[[Any], Any], text: str) -> None:
        queue = conveyor.Queue[int]()
        with pytest.raises(TypeError, match=text):
            call(queue)
        assert queue.empty()

    def test_help_shows_them(self) -> None:
        import inspect

        assert str(inspect.signature(conveyor.Queue.put)) == "(self, /, obj, block=True, timeout=None)"
        assert str(inspect.signature(conveyor.SharedDict.pop)).startswith("(self, /, key, default=")
        assert (conveyor.Queue.put.__doc__ or "").startswith("Put an item")

    def test_a_method_that_is_overridden_wins(self) -> None:
        class Doubling(conveyor.Queue[int], Iterable[int]):
            def put(self, obj: int, block: bool = True, timeout: float | None = None) -> None:
                super().put(2 * obj, block, timeout)

            def __iter__(self) -> Iterator[int]:
                yield self.get()

        queue = Doubling()
        queue.put(4)
        assert list(queue) == [8]
