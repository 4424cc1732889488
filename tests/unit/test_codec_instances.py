"""Instances of classes in the native encoding: what comes out is what pickle would have made."""

from __future__ import annotations

import copyreg
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

import instance_classes as classes
import pytest
from codec_values import SETTINGS, atoms, hashable, same, through_batch, through_pickle, through_queue
from hypothesis import given
from hypothesis import strategies as st
from instance_classes import Free, Frozen, Hashed, Pair, Point, Record

import conveyor
from conveyor._native import _decode, _decode_instances, _encode, _encode_instances

RECORD = Record(1, "a name", 0.5, True)


def is_native(item: Any) -> bool:
    return _encode_instances(item) is not None


def is_pickled(item: Any) -> bool:
    return _encode(item) is None and _encode_instances(item) is None


def check(item: Any) -> None:
    """Both ways give what pickle gives."""
    expected = through_pickle(item)
    same(through_queue(item), expected)
    same(through_batch(item), expected)


def with_attributes(item: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def slots_known() -> None:
    """Let copyreg look at the classes with slots: before that their instances go to pickle."""
    for kind in vars(classes).values():
        if isinstance(kind, type):
            copyreg._slotnames(kind)  # type: ignore[attr-defined]


NATIVE: dict[str, Callable[[], Any]] = {
    "dataclass": lambda: Record(1, "a name", 0.5, True),
    "dataclass with more": lambda: with_attributes(Record(1, "x", 0.5, True), extra_one=[1], extra_two="two"),
    "frozen dataclass": lambda: Frozen([1, 2], {"k": 1}),
    "slots dataclass": lambda: classes.SlotRecord(1, ["two"]),
    "no attributes": Free,
    "attributes": lambda: Free(first=1, second=[2]),
    "child": lambda: classes.Child(first=1),
    "slots": lambda: classes.Slotted(outer=1, _inner=2).set_private(3),
    "slots, some empty": lambda: classes.Slotted(outer=1),
    "slots, all empty": classes.Slotted,
    "inherited slots": lambda: classes.MoreSlots(more=1).set_own_private(2).set_private(3),
    "slots and dict": lambda: classes.SlotsAndDict(outer=1, free=2).set_private(3),
    "slots and an empty dict": lambda: classes.SlotsAndDict(outer=1),
    "empty slots and a dict": lambda: classes.SlotsAndDict(free=1),
    "dict by a slot": lambda: with_attributes(classes.SlotOfDict(), slot=1, free=2),
    "NamedTuple": lambda: Point([1], "n"),
    "namedtuple": lambda: Pair(1, 2),
    "namedtuple with attributes": lambda: with_attributes(classes.Marked([], 2), mark=3),
    "namedtuple with __new__": lambda: classes.Swapped(1, 2),
    "tuple's subclass": lambda: classes.Several([1, [2], "three"]),
    "empty tuple's subclass": lambda: with_attributes(classes.Several(), name="none"),
    "generic": lambda: classes.Box([1]),
    "abstract": lambda: classes.Square(2),
    "protocol": lambda: classes.Named("n"),
    "inner class": lambda: classes.Outer.Inner(1),
    "__setstate__": lambda: classes.Restored([1]),
    "__setstate__ of slots": lambda: with_attributes(classes.RestoredSlots(), value=[1]),
    "__setstate__ of both": lambda: classes.RestoredBoth(outer=1, free=2),
    "__setstate__ of slots, an empty dict": lambda: classes.RestoredBoth(outer=1),
    "a property of the name": lambda: classes.OfProperty([1]),
    "__new__ of another": lambda: object.__new__(classes.Other),
    "own __setattr__": lambda: with_attributes(classes.Careful(), value=1),
    "many of one class": lambda: [Record(number, str(number) * 3, 0.1, False) for number in range(300)],
    "many layouts": lambda: [Free(**{f"name{i}": i, f"other{i % 7}": [i]}) for i in range(300)],
    "nested": lambda: Free(inside=Free(inside=Free(), after=1), after=Record(1, "x", 1.0, True, Free())),
    "as a key": lambda: {Hashed("k"): Hashed("v"), "x": {Hashed(1), Hashed(2)}},
    "255 attributes": lambda: Free(**{f"name{i}": i for i in range(255)}),
    "a name of 255 bytes": lambda: Free(**{"é" * 127 + "x": 1}),
}
PICKLED: dict[str, Callable[[], Any]] = {
    "frozen slots dataclass": lambda: classes.FrozenSlots(1),
    "__getattr__": classes.Lazy,
    "__getattribute__": classes.Nosy,
    "__reduce__": classes.Reduced,
    "__reduce_ex__": classes.ReducedEx,
    "__getstate__": classes.OwnState,
    "__getnewargs__": classes.OwnArguments,
    "__getnewargs_ex__": classes.OwnKeywords,
    "__iter__ of a named tuple": lambda: classes.Backwards(1, 2),
    "list": lambda: classes.Rows([1]),
    "dict": lambda: classes.Table(a=1),
    "int": lambda: classes.Whole(3),
    "str": lambda: with_attributes(classes.Text("x"), more=1),
    "exception": lambda: classes.Trouble("x"),
    "enum": lambda: classes.Colour.RED,
    "metaclass": classes.OfMeta,
    "a property in place of a slot": classes.HidesSlot,
    "256 attributes": lambda: Free(**{f"name{i}": i for i in range(256)}),
    "a name of 256 bytes": lambda: Free(**{"é" * 128: 1}),
    "a name with a surrogate": lambda: Free(**{"\ud800": 1}),
    "a special name": lambda: Free(__other__=1),
    "a large attribute": lambda: Free(text="x" * 17_000),
    "the dict of two": lambda: (lambda one: [one, vars(one)])(Free(a=1)),
    "keys that are no str": lambda: vars(one := Free(a=1)).update({1: 2, (3,): 4}) or one,
    "a function": lambda: check,
}


@pytest.mark.parametrize("case", NATIVE)
def test_goes_without_pickle(case: str) -> None:
    slots_known()
    item = NATIVE[case]()
    assert is_native(item)
    assert _encode(item) is None
    encoded = _encode_instances([item, "and", item])
    assert encoded is not None
    same(_decode_instances(encoded), through_pickle([item, "and", item]))
    check(item)
    check([item, {"k": (item, NATIVE[case]())}])


@pytest.mark.parametrize("case", PICKLED)
def test_goes_to_pickle(case: str) -> None:
    slots_known()
    item = PICKLED[case]()
    assert is_pickled(item)
    assert is_pickled([RECORD, item])
    check([RECORD, item])


def test_what_lies_about_its_class_raises_what_pickle_raises() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    with pytest.raises(pickle.PicklingError) as told:
        pickle.dumps(classes.Liar())
    with pytest.raises(pickle.PicklingError) as told_here:
        queue.put(classes.Liar())
    assert str(told_here.value) == str(told.value)
    assert "class" in str(told.value)
    assert queue.empty()


@pytest.mark.parametrize("make", [classes.Property, classes.Local, lambda: classes.Weak(Free)])
def test_what_holds_more_than_attributes_raises_what_pickle_raises(make: Callable[[], Any]) -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    item = make()
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(item)
    for _ in range(2):
        with pytest.raises(TypeError, match="cannot pickle"):
            queue.put(item)
    assert queue.empty()


def test_attributes_keep_their_order_and_have_interned_names() -> None:
    item = Free(zebra=1, apple=2)
    del item.zebra
    item.zebra = 3
    vars(item)["".join(["not ", "interned"])] = 4
    received = through_queue(item)
    assert list(vars(received)) == ["apple", "zebra", "not interned"]
    assert all(sys.intern(name) is name for name in vars(received))
    check(item)


def test_the_first_instance_of_a_class_with_slots_goes_to_pickle() -> None:
    module = new_module("slots_first", "class Late:\n    __slots__ = ('__value', 'other')\n")
    with module as late:
        item = late.Late()
        item._Late__value = [1]
        assert is_pickled(item)
        same_slots = through_queue(item)
        assert same_slots._Late__value == [1]
        assert not hasattr(same_slots, "other")
        assert is_native(item)
        assert through_queue(item)._Late__value == [1]


# ---- anything, by chance

names = st.sampled_from(["attribute", "another", "third one", "fourth_é"])


def instances(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    free = st.dictionaries(names, inner, max_size=4).map(lambda values: Free(**values))
    return st.one_of(
        free,
        st.builds(Record, st.integers(), st.text(max_size=3), st.floats(), st.booleans(), inner, inner),
        st.builds(Frozen, inner, inner),
        st.builds(classes.SlotRecord, inner, inner),
        st.builds(lambda a, b: classes.MoreSlots(more=a).set_private(b), inner, inner),
        st.builds(lambda a, b: classes.SlotsAndDict(outer=a, free=b), inner, inner),
        st.builds(Point, inner, inner),
        st.builds(lambda a, b: with_attributes(classes.Marked(a, b), mark=b), inner, inner),
        st.lists(inner, max_size=3).map(classes.Several),
        st.builds(classes.Restored, inner),
        st.builds(classes.Box, inner),
        st.builds(classes.FrozenSlots, inner),
        st.lists(inner, max_size=3).map(classes.Rows),
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable | st.builds(Hashed, st.integers()), inner, max_size=3),
        st.sets(hashable | st.builds(Hashed, st.integers()), max_size=3),
        inner.map(lambda value: [value, Free(one=value, two=[value]), value]),
    )


anything = st.recursive(atoms, instances, max_leaves=15)


@SETTINGS
@given(anything)
def test_any_instance_comes_out_as_from_pickle(item: Any) -> None:
    check(item)


@SETTINGS
@given(st.lists(st.integers(0, 20), min_size=1, max_size=50), st.randoms(use_true_random=False))
def test_any_graph_of_instances_keeps_its_shape(edges: list[int], choose: Any) -> None:
    makers: list[Callable[[], Any]] = [
        Free,
        lambda: classes.SlotsAndDict(outer=[]),
        lambda: classes.Restored([]),
        lambda: with_attributes(classes.Marked([], 1)),
        list,
        dict,
    ]
    nodes = [choose.choice(makers)() for _ in range(max(edges) + 1)]
    for at, edge in enumerate(edges):
        source, target = nodes[edges[at - 1]], nodes[edge]
        if isinstance(source, list):
            source.append(target)
        elif isinstance(source, dict):
            source[at] = target
        elif isinstance(source, Pair):
            (source.left if choose.random() < 0.5 else vars(source).setdefault("more", [])).append(target)
        else:
            setattr(source, f"to_{at % 5}", target)
    check(nodes)


# ---- a class is what it is now


@contextmanager
def new_module(name: str, text: str) -> Iterator[Any]:
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        exec(text, vars(module))
        yield module
    finally:
        sys.modules.pop(name, None)


PLAIN = "class Thing:\n    def __init__(self, value): self.value = value\nclass Heir(Thing): pass\n"


def reduced(self: Any) -> Any:
    return str, ("reduced",)


CHANGES: dict[str, tuple[str, Any]] = {
    "__reduce__": ("__reduce__", reduced),
    "__reduce_ex__": ("__reduce_ex__", lambda self, protocol: (str, ("reduced",))),
    "__getstate__": ("__getstate__", lambda self: {"value": "of getstate"}),
    "__getattribute__": ("__getattribute__", lambda self, name: object.__getattribute__(self, name)),
    "__getattr__": (
        "__getattr__",
        lambda self, name: 1 if name == "x" else object.__getattribute__(self, name),
    ),
}


@pytest.mark.parametrize("kind", ["Thing", "Heir"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_class_that_is_changed_between_items(change: str, kind: str) -> None:
    with new_module("changes", PLAIN) as module:
        item = getattr(module, kind)([1])
        name, value = CHANGES[change]
        for _ in range(3):
            assert is_native(item)
            setattr(module.Thing, name, value)
            assert is_pickled(item)
            delattr(module.Thing, name)
        assert is_native(item)
        setattr(module.Thing, name, value)
        expected, received = through_pickle(item), through_queue(item)
        assert type(received) is type(expected)
        assert getattr(received, "value", received) == getattr(expected, "value", expected)


def test_an_instance_that_has_special_attributes() -> None:
    for name in ("__reduce_ex__", "__getstate__"):
        item = Free(value=1)
        vars(item)[name] = lambda *_: (str, ("of the instance",))
        assert is_pickled(item)
        del vars(item)[name]
        assert is_native(item)
    item = Free(value=1)
    vars(item)["__reduce_ex__"] = lambda protocol: (str, ("of the instance",))
    assert through_pickle(item) == "of the instance" == through_queue(item)


@pytest.mark.parametrize("where", ["copyreg", "ForkingPickler"])
def test_a_reducer_that_is_registered_between_items(where: str) -> None:
    tables: Any = {
        "copyreg": copyreg.dispatch_table,
        "ForkingPickler": ForkingPickler._extra_reducers,  # type: ignore[attr-defined]
    }
    item = Free(value=1)
    assert is_native(item)
    tables[where][Free] = reduced
    try:
        assert is_pickled(item)
        assert is_native(Record(1, "x", 0.5, True))
        assert through_queue([item, item])[0] == "reduced"
    finally:
        del tables[where][Free]
    assert is_native(item)


def test_a_reducer_of_the_metaclass() -> None:
    item = classes.Square(1)
    assert is_native(item)
    copyreg.dispatch_table[type(classes.Square)] = lambda kind: kind.__name__
    try:
        assert is_pickled(item)
    finally:
        del copyreg.dispatch_table[type(classes.Square)]
    assert is_native(item)


def test_a_name_that_leads_elsewhere_raises_what_pickle_raises() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    with new_module("moves", PLAIN + "class Outer:\n    class Inner: pass\n") as module:
        item, inner, first = module.Thing(1), module.Outer.Inner(), module.Thing
        assert is_native([item, inner])
        exec(PLAIN, vars(module))  # as in a notebook
        with pytest.raises(pickle.PicklingError, match="not the same object"):
            queue.put([item])
        assert is_native(module.Thing(1))
        module.Thing = first
        assert is_native(item)
        module.Outer.Inner = int
        with pytest.raises(pickle.PicklingError, match="not the same object"):
            queue.put(inner)
        first.__qualname__ = "Nothing"
        with pytest.raises(pickle.PicklingError, match="Nothing"):
            queue.put(item)
        first.__qualname__ = "Thing"
        assert is_native(item)
        first.__module__ = "no_such_module"
        with pytest.raises(pickle.PicklingError, match="no_such_module"):
            queue.put(item)
        first.__module__ = "moves"
        assert is_native(item)
        sys.modules["moves"] = 7  # type: ignore[assignment]
        with pytest.raises(pickle.PicklingError, match="Thing"):
            queue.put(item)
        del sys.modules["moves"]
        with pytest.raises(pickle.PicklingError, match="moves"):
            queue.put(item)
    assert queue.empty()


def test_a_class_in_a_function_raises_what_pickle_raises() -> None:
    class Local:
        pass

    queue: conveyor.Queue[Any] = conveyor.Queue()
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        queue.put(Local())
    assert queue.empty()


def test_a_dict_that_is_shown_in_place_of_another() -> None:
    """Pickle takes the attributes themselves, and puts them into what `__dict__` gives."""
    item = classes.HiddenDict([1])
    assert is_native(item)
    assert item.value == [1]  # type: ignore[attr-defined]
    for received in (through_pickle(item), through_queue(item)):
        with pytest.raises(AttributeError):
            _ = received.value


def test_an_instance_of_another_class_that_has_its_own_setstate() -> None:
    item = with_attributes(object.__new__(classes.Prepared), value=[1])
    assert is_native(item)
    assert is_native(Free(value=[1]))
    for received in (through_pickle(item), through_queue(item)):
        assert received.told == ["of value", [1]]


def test_an_instance_whose_class_is_assigned() -> None:
    item = Free(value=1)
    assert is_native(item)
    item.__class__ = classes.Reduced  # type: ignore[assignment]
    assert is_pickled(item)
    item.__class__ = classes.Child
    assert type(through_queue(item)) is classes.Child


def test_a_class_of_a_module_with_getattr() -> None:
    text = "Hidden = type('Hidden', (), {})\nhidden = Hidden\ndel Hidden\ndef __getattr__(name):\n"
    with new_module(
        "asks", text + "    if name == 'Hidden': return hidden\n    raise AttributeError(name)\n"
    ) as module:
        item = module.Hidden()
        item.value = 1
        assert is_pickled(item)
        assert through_queue(item).value == 1


def test_classes_come_and_go() -> None:
    """What is known of a class is never taken for another's at the same address."""
    for round_ in range(300):
        bad = round_ % 2
        body = "    def __reduce__(self): return int, (5,)\n" if bad else "    pass\n"
        with new_module("passing", f"class Passing:\n{body}") as module:
            item = module.Passing()
            assert is_pickled(item) if bad else is_native(item)
            del item, module


def test_a_class_that_changes_very_often() -> None:
    """CPython gives a class so many version tags, and no more (1,000 in 3.13)."""
    with new_module("often", PLAIN) as module:
        item = module.Thing(1)
        for number in range(1500):
            module.Thing.number = number
            assert is_native(item)
        module.Thing.__reduce__ = reduced
        assert is_pickled(item)


def test_a_tuple_inside_itself_goes_to_pickle() -> None:
    item = Point([], 1)
    item.east.append(item)
    assert is_pickled(item)
    check(item)
    marked = with_attributes(classes.Marked(1, 2))
    marked.me = marked
    assert is_native(marked)
    check(marked)


@pytest.mark.parametrize("depth", [10, 60, 62, 63, 64, 65, 66, 100])
def test_depth(depth: int) -> None:
    item: Any = "bottom"
    for level in range(depth):
        item = Free(down=item) if level % 2 else Point(item, item)
    assert is_native(item) == (depth <= 64)
    same(through_queue(item), through_pickle(item))


def test_a_chain_deeper_than_the_stack_raises_as_pickle_does() -> None:
    item: Any = None
    for _ in range(100_000):
        item = Free(next=item)
    queue: conveyor.Queue[Any] = conveyor.Queue()
    with pytest.raises(RecursionError):
        queue.put(item)
    while item is not None:
        item = item.next


def test_encoding_keeps_no_reference() -> None:
    item, value = Free(value=[1]), object()
    vars(item)["value"] = value = [1, 2]
    key = "".join(["a ", "name"])
    vars(item)[key] = 1
    before = [sys.getrefcount(each) for each in (item, vars(item), value, Free)]
    for _ in range(50):
        assert is_native(item)
        encoded = _encode_instances(item)
        assert encoded is not None
        _decode_instances(encoded)
    assert [sys.getrefcount(each) for each in (item, vars(item), value, Free)] == before


def test_native_readers_refuse_instances() -> None:
    encoded = _encode_instances(RECORD)
    assert encoded is not None
    with pytest.raises(conveyor.CorruptSegment):
        _decode(encoded)
