"""What goes over a network or into a file, and what is refused, on every transport that is no shared memory."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor import BadMessage

KEY = b"a key that all share"


class Own:
    """Something that only pickle could carry."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def outside(transport: Transport) -> None:
    if transport.scheme == "shm":
        pytest.skip("shared memory has codecs of its own: tests/unit")


def test_plain_data_exactly(make: Any) -> None:
    queue = make()
    items = [
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC),
        datetime.timedelta(days=1, microseconds=1),
        decimal.Decimal("1.10"),
        uuid.UUID(int=5),
        frozenset({1, 2}),
        {"nested": [(1, {2: {3.5}})]},
    ]
    queue.put_many(items)
    got = [queue.get(timeout=10) for _ in items]
    assert got == items
    assert [type(item) for item in got] == [type(item) for item in items]


def test_what_the_codec_cannot_take_is_an_error_in_put(make: Any) -> None:
    queue = make()
    for put in (lambda: queue.put(Own()), lambda: queue.put_many([1, Own()])):
        with pytest.raises(TypeError, match="Own"):
            put()
    assert queue.empty()


def test_pickle_needs_a_key(url: str) -> None:
    with pytest.raises(ValueError, match="key"):
        conveyor.connect(url, codec="pickle")


def test_signed_pickle(make: Any) -> None:
    queue = make(codec="pickle", key=KEY)
    queue.put(Own())
    assert queue.get(timeout=10) == Own()


def test_a_message_of_another_key_is_refused_and_does_not_stop_the_queue(make: Any) -> None:
    poison: Any = conveyor.Queue()
    mine, other = make(codec="pickle", key=KEY, dead_letters=poison), make(codec="pickle", key=b"another key")
    other.put("forged")
    mine.put("good")
    other.put("forged")
    mine.put("good")
    with pytest.raises(BadMessage) as error:
        mine.get(timeout=10)
    assert b"forged" in error.value.body
    assert mine.get(timeout=10) == "good"
    with pytest.raises(BadMessage):
        mine.lease(timeout=10)
    with mine.lease(timeout=10) as item:
        assert item == "good"
    for _ in range(2):
        assert b"forged" in poison.get(timeout=10).item
    assert mine.empty()


def test_other_codecs(make: Any) -> None:
    queue = make(codec="json")
    queue.put({"a": [1, None]})
    assert queue.get(timeout=10) == {"a": [1, None]}


def test_one_bad_among_many(make: Any) -> None:
    mine, other = make(key=KEY), make(key=b"another key")
    mine.put_many([1, 2])
    other.put("forged")
    mine.put(3)
    good: list[int] = []
    bad = 0
    while len(good) < 3:
        try:
            good += mine.get_many(10, timeout=10)
        except BadMessage as error:
            bad += 1
            good += error.items_received  # type: ignore[attr-defined]
    assert (good, bad) == ([1, 2, 3], 1)
