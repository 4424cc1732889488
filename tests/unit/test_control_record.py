"""The control record of a queue on a broker, as other versions of conveyor have written it, or will read it."""

from __future__ import annotations

import json

import pytest

from conveyor import VersionMismatch
from conveyor.transports.port import Settings
from conveyor.transports.record import Record


def _loaded(data: bytes) -> Record:
    return Record.load(data, "queue", "redis://localhost/0/jobs")


def test_one_that_is_not_paused_is_as_it_always_was() -> None:
    data = Record("queue", Settings()).holding("", True).holding("", False).dump()
    parts = json.loads(data)
    assert parts["format"] == 1
    assert "paused" not in parts
    assert _loaded(data).paused == ()


def test_one_that_is_paused_is_refused_by_who_knows_no_pause() -> None:
    record = Record("queue", Settings(maxsize=3)).holding("", True).holding("billing", True)
    data = record.dump()
    assert json.loads(data)["format"] == 2  # what earlier versions refuse
    assert _loaded(data) == record
    assert (record.holds(""), record.holds("billing"), record.holds("other")) == (True, True, False)
    assert _loaded(record.holding("", False).dump()).paused == ("billing",)


def test_the_same_again_changes_nothing() -> None:
    record = Record("queue", Settings())
    assert record.holding("", False) is record
    held = record.holding("", True)
    assert held.holding("", True) is held


def test_one_of_a_later_format_is_refused() -> None:
    parts = json.loads(Record("queue", Settings()).dump())
    with pytest.raises(VersionMismatch):
        _loaded(json.dumps({**parts, "format": 3}).encode())
