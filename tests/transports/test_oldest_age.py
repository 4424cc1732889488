"""How long the oldest item has waited, where items carry a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport

from conveyor import NotSupported
from conveyor.cli.app import main


@pytest.fixture(autouse=True)
def _on_a_broker(transport: Transport) -> None:
    if transport.scheme == "shm":
        pytest.skip("of queues in shared memory conveyor.inspection tells it, while it looks")


@pytest.mark.needs("keeps_times")
def test_it_is_the_age_of_what_is_taken_next(make: Callable[..., Any]) -> None:
    queue, other = make(), make()
    assert queue.oldest_age() == 0.0
    queue.put(1)
    guard = time.monotonic() + 30
    while queue.oldest_age() < 1.0:
        assert time.monotonic() < guard
    began = time.monotonic()
    queue.put(2)
    assert other.oldest_age() >= 1.0
    assert queue.get(timeout=10) == 1
    age = other.oldest_age()
    assert age <= time.monotonic() - began + 0.2
    assert queue.get(timeout=10) == 2
    assert queue.oldest_age() == 0.0


@pytest.mark.needs("keeps_times", "groups")
def test_of_a_group(make_topic: Callable[..., Any]) -> None:
    topic = make_topic()
    group = topic.group("readers")
    assert group.oldest_age() == 0.0
    topic.publish("a")
    guard = time.monotonic() + 30
    while not group.oldest_age():
        assert time.monotonic() < guard
    assert group.get(timeout=10) == "a"
    assert group.oldest_age() == 0.0
    group.close()


def test_it_is_refused_or_judged(
    make: Callable[..., Any], transport: Transport, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = make()
    assert main(["check", "--age", "1,60", url]) == 0
    assert "age=0s;1;60;0" in capsys.readouterr().out
    queue.put(1)
    if transport.keeps_times:
        guard = time.monotonic() + 30
        while main(["check", "--age", "0.5,3600", url]) == 0:
            assert time.monotonic() < guard
        assert "is at or above 0.5" in capsys.readouterr().out.splitlines()[-1]
        assert main(["check", "--age", "3600", url]) == 0
        return
    with pytest.raises(NotSupported, match="carry no time"):
        queue.oldest_age()
    capsys.readouterr()
    assert main(["check", "--age", "1,60", url]) == 3
    assert "UNKNOWN" in capsys.readouterr().out
