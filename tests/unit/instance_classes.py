"""Classes whose instances the tests of the native encoding put: the module that they are found in."""

from __future__ import annotations

import abc
import collections
import dataclasses
import enum
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


def told(state: Any) -> Any:
    """What `__setstate__` got, but for which object a name is: that is up to pickle."""
    if type(state) is dict:
        return ["of " + " ".join(state), *state.values()]
    return [told(part) for part in state] if type(state) is tuple else state


@dataclasses.dataclass
class Record:
    number: int
    name: str
    share: float
    ready: bool
    place: Any = None
    remark: Any = ""


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: Any
    other: Any = None


@dataclasses.dataclass(slots=True)
class SlotRecord:
    first: Any
    second: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots:
    value: Any


class Free:
    """Any attributes, as many as somebody likes."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {sorted(map(str, vars(self)))}"


class Child(Free):
    def method(self) -> str:
        return "child"


class Slotted:
    __slots__ = ("__private", "_inner", "outer")

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)

    def set_private(self, value: Any) -> Slotted:
        self.__private = value
        return self

    def private(self) -> Any:
        return self.__private


class MoreSlots(Slotted):
    __slots__ = ("__private", "more")

    def set_own_private(self, value: Any) -> MoreSlots:
        self.__private = value
        return self


class SlotsAndDict(Slotted):
    pass


class SlotOfDict:
    __slots__ = ("__dict__", "__weakref__", "slot")


class Point(NamedTuple):
    east: Any
    north: Any = 0


Pair = collections.namedtuple("Pair", "left right")


class Marked(Pair):
    """A named tuple with attributes of its own."""


class Swapped(Pair):
    """A named tuple whose `__new__` swaps, each time."""

    __slots__ = ()

    def __new__(cls, left: Any, right: Any) -> Swapped:
        return super().__new__(cls, right, left)


class Backwards(Pair):
    """A named tuple that is not what it says."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter((self[1], self[0]))


class Several(tuple[Any, ...]):
    """Another subclass of tuple: `__new__` gets one tuple."""


class Box(Generic[T]):
    def __init__(self, content: T) -> None:
        self.content = content


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> float: ...


class Square(Shape):
    def __init__(self, side: Any) -> None:
        self.side = side

    def area(self) -> float:
        return 1.0


class HasName(Protocol):
    name: Any


class Named(HasName):
    def __init__(self, name: Any) -> None:
        self.name = name


class Outer:
    class Inner:
        def __init__(self, value: Any) -> None:
            self.value = value


class Restored:
    """It has `__setstate__`, and no more."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        self.restored = told(state)


class RestoredSlots:
    __slots__ = ("restored", "value")

    def __setstate__(self, state: Any) -> None:
        self.restored = told(state)


class RestoredBoth(SlotsAndDict):
    def __setstate__(self, state: Any) -> None:
        self.restored = told(state)


class Other:
    """Instances that are made as another class's."""

    def __new__(cls) -> Any:
        return Free(made="otherwise")


class Prepared:
    """Instances that are made as another class's, which have a `__setstate__` of their own by then."""

    def __new__(cls) -> Any:
        made = Free()
        vars(made)["__setstate__"] = lambda state: vars(made).update(told=told(state))
        return made


class Needy:
    """Instances that cannot be made again: `__new__` wants something."""

    def __new__(cls, wanted: Any) -> Needy:
        return super().__new__(cls)


class Hashed:
    """The hash is of its attribute."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return type(other) is Hashed and other.key == self.key

    def __repr__(self) -> str:
        return f"Hashed({self.key!r})"


class Careful:
    """Its attributes can only be set in `__init__`, and those in slots by a `__setattr__` that counts."""

    __slots__ = ("value",)
    calls = 0

    def __setattr__(self, name: str, value: Any) -> None:
        Careful.calls += 1
        object.__setattr__(self, name, value)


class HiddenDict:
    """`__dict__` is not where its attributes are."""

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "value", value)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return {"shown": getattr(self, "value", None)}


class OfProperty:
    """What is in `__dict__` under the name of a property is not given to the property."""

    def __init__(self, value: Any) -> None:
        vars(self).update(value=value, other=1)

    @property
    def value(self) -> Any:
        return "of the property"

    @value.setter
    def value(self, value: Any) -> None:
        raise AssertionError("pickle does not call it")


# ---- what pickle has to look at itself


class Lazy:
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Nosy:
    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)


class Reduced:
    def __reduce__(self) -> Any:
        return Free, ()


class ReducedEx:
    def __reduce_ex__(self, protocol: Any) -> Any:
        return Free, ()


class OwnState:
    def __getstate__(self) -> Any:
        return {"other": 1}


class OwnArguments:
    def __new__(cls, *arguments: Any) -> OwnArguments:
        return super().__new__(cls)

    def __getnewargs__(self) -> Any:
        return (1,)


class OwnKeywords:
    def __new__(cls, **keywords: Any) -> OwnKeywords:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> Any:
        return (), {"a": 1}


class Liar:
    @property
    def __class__(self) -> Any:
        return int


class Rows(list[Any]):
    pass


class Table(dict[Any, Any]):
    pass


class Whole(int):
    pass


class Text(str):
    __slots__ = ("more",)


class Trouble(Exception):
    pass


class Colour(enum.Enum):
    RED = 1


class Meta(type):
    pass


class OfMeta(metaclass=Meta):
    pass


class SlotAsProperty:
    __slots__ = ("value",)


class HidesSlot(SlotAsProperty):
    @property
    def value(self) -> Any:  # type: ignore[override]
        return 7

    @value.setter
    def value(self, value: Any) -> None:
        pass


# ---- code that runs while an item is read


class Watcher:
    """Calls what the test has set, with itself and its state, while it is being made."""

    def __init__(self, *things: Any) -> None:
        self.things = things

    seen: Any = None

    def __setstate__(self, state: Any) -> None:
        if Watcher.seen is not None:
            Watcher.seen(self, state)


class SlowHash(Free):
    """Hashed by what it has, in a cycle too."""

    def __hash__(self) -> int:
        return hash(self.key)  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return self is other


# ---- what pickle refuses, for what it holds in C


class Property(property):
    pass


class Local(threading.local):
    pass


class Weak(weakref.ref):  # type: ignore[type-arg]
    pass
