"""Damaged instances are an error; plain data never becomes one, whatever its bytes say."""

from __future__ import annotations

import gc
import pickle
import random
import struct
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import instance_classes as classes
import pytest
from codec_values import SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from instance_classes import Free, Hashed, Pair, Point, Record, Restored

import conveyor
from conveyor._native import PlainCoder, _decode, _decode_instances, _encode, _encode_instances
from conveyor.errors import BadMessage, CorruptSegment

INSTANCE, REFERENCE, REMEMBERED, LIST32, TUPLE32, DICT32, FROZENSET, NONE = 40, 23, 0x40, 18, 16, 20, 22, 0
CLASSES = "instance_classes"


def text(value: str) -> bytes:
    raw = value.encode()
    return bytes([len(raw)]) + raw


def definition(
    names: list[str], in_slots: int = 0, form: int = 0, kind: str = "Free", module: str = CLASSES
) -> bytes:
    content = bytes([form, len(names) - in_slots, in_slots]) + text(module) + text(kind)
    content += b"".join(map(text, names))
    return struct.pack("<H", len(content)) + content


def instance(*arguments: Any, values: bytes = b"", number: int = 0, **named: Any) -> bytes:
    return bytes([INSTANCE, number]) + definition(*arguments, **named) + values


def samples() -> list[bytes]:
    shared = Free(value=[1])
    cycle = Free(first=1)
    cycle.me, cycle.more = cycle, [cycle, shared]
    slots = classes.MoreSlots(more=shared).set_private(2)
    pickle.dumps(slots)  # copyreg learns of its slots
    items: list[Any] = [
        Record(1, "a name", 0.5, True, shared, [shared]),
        [Point(shared, 2), Pair(shared, "x"), classes.Several([shared, 1]), shared],
        cycle,
        slots,
        {
            Hashed("k"): Restored([1, shared]),
            "x": {Hashed(1), Hashed(2)},
            (1, shared): frozenset([Hashed(3)]),
        },
        [Free(**{f"name{i}": i}) for i in range(5)],
    ]
    made = [_encode_instances(item) for item in items]
    assert all(made)
    return [each for each in made if each is not None]


def accept(damaged: bytes) -> bool:
    """Whether the bytes are taken for an object, which then must be whole; else the error is one of Python's."""
    try:
        decoded = _decode_instances(damaged)
    except Exception:
        return False
    again = _encode_instances(decoded) or _encode(decoded)  # goes through all of it
    with suppress(Exception):
        repr(_decode_instances(again) if again else decoded)
    return True


def test_cut_short() -> None:
    for encoded in samples():
        for length in range(len(encoded)):
            with pytest.raises(CorruptSegment):
                _decode_instances(encoded[:length])
        with pytest.raises(CorruptSegment):
            _decode_instances(encoded + b"\x00")


def test_each_byte_changed() -> None:
    choose = random.Random(7)
    accepted = refused = 0
    for encoded in samples():
        for at in range(len(encoded)):
            for value in {0, 255, encoded[at] ^ 0x40, encoded[at] ^ 1, choose.randrange(256)} - {encoded[at]}:
                if accept(encoded[:at] + bytes([value]) + encoded[at + 1 :]):
                    accepted += 1
                else:
                    refused += 1
    assert accepted > 200  # a changed number is still a number
    assert refused > 1000
    gc.collect()


WORDS = [*range(32), *range(0x40, 0x60), INSTANCE, INSTANCE | REMEMBERED, 0x80, 0x81, 0xFF]
BEGINNINGS = [
    b"",
    instance(["attribute", "another"]),
    instance(["attribute"], form=1, kind="Pair"),
    instance(["attribute"], form=2, kind="Several"),
    instance(["more"], in_slots=1, kind="MoreSlots"),
    instance(["attribute"], kind="Restored"),
    instance([], kind="Needy"),
]


@settings(SETTINGS, max_examples=1500)
@given(st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(WORDS), max_size=60).map(bytes))
def test_random_operations(beginning: bytes, data: bytes) -> None:
    accept(beginning + data)


@settings(SETTINGS, max_examples=800)
@given(st.sampled_from(samples()), st.data())
def test_some_bytes_changed(encoded: bytes, data: st.DataObject) -> None:
    damaged = bytearray(encoded)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from(WORDS))
    accept(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


# ---- what no encoder writes


SELF = bytes([REFERENCE]) + struct.pack("<I", 0)
DAMAGED = {
    "a layout that was not defined": bytes([INSTANCE, 1]) + definition([]),
    "a large layout number": bytes([INSTANCE, 255]) + struct.pack("<I", 2**32 - 1),
    "a form that there is not": instance([], form=3),
    "an empty definition": bytes([INSTANCE, 0, 0, 0]),
    "a definition longer than the bytes": bytes([INSTANCE, 0, 255, 255, 0]),
    "a definition with more behind it": bytes([INSTANCE, 0])
    + struct.pack("<H", len(definition([])) - 1)
    + definition([])[2:]
    + b"\x00",
    "more names than there are": instance([])[:5] + b"\xff" + instance([])[6:],
    "a name that is no UTF-8": instance([], module="\x80").replace(b"\xc2\x80", b"\xff\xff"),
    "a tuple inside itself": bytes([INSTANCE | REMEMBERED, 0])
    + definition([], form=1, kind="Pair")
    + b"\x02"
    + SELF
    + bytes([NONE]),
    "a plain tuple inside itself": bytes([15 | REMEMBERED, 1]) + SELF,
    "a frozenset inside itself": bytes([FROZENSET | REMEMBERED, 1, 0, 0, 0]) + SELF,
    "more elements than bytes": instance([], form=1, kind="Pair", values=b"\xff" + struct.pack("<I", 2**31)),
    "a reference to nothing": instance(["a"], values=SELF),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_no_encoder_writes(case: str) -> None:
    with pytest.raises(CorruptSegment):
        _decode_instances(DAMAGED[case])


def test_too_deep() -> None:
    first = instance(["down"])
    further = bytes([INSTANCE, 0])
    received = _decode_instances(first + further * 63 + bytes([NONE]))
    assert type(received) is Free
    with pytest.raises(CorruptSegment):
        _decode_instances(first + further * 64 + bytes([NONE]))


def test_the_same_attribute_twice() -> None:
    received = _decode_instances(instance(["twice", "twice"], values=b"\x81\x82"))
    assert received.twice == 2


def test_attributes_that_a_class_does_not_like() -> None:
    with pytest.raises(AttributeError):
        _decode_instances(instance(["not_there"], in_slots=1, kind="Slotted", values=b"\x81"))
    with pytest.raises(TypeError):  # `__dict__` must be a dict
        _decode_instances(instance(["__dict__"], in_slots=1, values=b"\x81"))
    with pytest.raises(TypeError):
        _decode_instances(instance(["__class__"], in_slots=1, values=b"\x81"))
    vars(_decode_instances(instance(["__class__"], values=b"\x81")))


def test_classes_that_hold_more_than_attributes() -> None:
    """Made as pickle makes them: empty, and none of theirs is written past."""
    for module, kind in [
        ("builtins", "int"),
        ("builtins", "dict"),
        ("builtins", "list"),
        ("builtins", "type"),
        ("builtins", "bool"),
        ("builtins", "object"),
        ("builtins", "memoryview"),
        ("types", "ModuleType"),
        ("functools", "partial"),
        ("threading", "Thread"),
        ("io", "BytesIO"),
        ("conveyor", "Queue"),
    ]:
        for form in (0, 1, 2):
            bad = instance(
                ["attribute"], form=form, module=module, kind=kind, values=b"\x00\x81" if form else b"\x81"
            )
            try:
                value = _decode_instances(bad)
            except Exception:
                continue
            assert vars(value)["attribute"] == 1  # a module and a thread take any
            assert kind in ("ModuleType", "Thread", "partial", "BytesIO"), kind


def test_lies_take_no_memory() -> None:
    nested = bytes([LIST32]) + struct.pack("<I", 2**20)
    lies = [
        nested * 60 + bytes(2**20),
        instance([], form=1, kind="Pair", values=b"\xff" + struct.pack("<I", 2**20)) + bytes(10),
        (bytes([TUPLE32]) + struct.pack("<I", 2**19)) * 2 + bytes(2**19),
        (bytes([DICT32]) + struct.pack("<I", 2**18)) * 4 + bytes(2**19),
        b"".join(instance([f"name{i}"], number=i % 250) for i in range(2000)),
    ]
    for lie in lies:
        tracemalloc.start()
        with suppress(Exception):
            _decode_instances(lie)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 30 * len(lie) + 100_000


def test_what_is_kept_of_definitions_is_bounded() -> None:
    def keep(count: int, mark: str) -> None:
        for number in range(count):
            _decode_instances(instance([f"{mark}{number}"], values=b"\x00"))

    keep(3000, "first")
    before = sys.getallocatedblocks()
    keep(3000, "other")
    names = 3000 if sys.version_info[:2] == (3, 12) else 0  # there what is interned stays, unpickled or not
    assert sys.getallocatedblocks() - before < names + 1000


# ---- plain data


PLAIN: Any = PlainCoder(lambda *_: None, lambda *_: None)


def test_plain_data_has_no_instances() -> None:
    hidden = "instances_not_imported"
    for encoded in [*samples(), instance([], module=hidden)]:
        for wrapped in (encoded, b"\x11\x01" + encoded, b"\x13\x01\x00" + encoded):
            with pytest.raises(BadMessage):
                PLAIN.decode(wrapped)
            with pytest.raises(CorruptSegment):
                _decode(wrapped)
    assert hidden not in sys.modules


def test_plain_data_refuses_to_write_them() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(codec="plain")
    for item in (Record(1, "x", 0.5, True), Point(1, 2), Free()):
        with pytest.raises(TypeError, match=r"codec 'plain' cannot carry item\['k'\]"):
            queue.put({"k": item})
    assert queue.empty()


@settings(SETTINGS, max_examples=300)
@given(st.sampled_from(samples()), st.data())
def test_no_damage_makes_plain_data_of_an_instance(encoded: bytes, data: st.DataObject) -> None:
    damaged = bytearray(encoded)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadMessage):
        made = PLAIN.decode(bytes(damaged))
        assert type(made).__module__ == "builtins"
