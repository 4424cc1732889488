"""`conveyor move` and `retry` between queues of any transport."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor.cli.app import main

pytestmark = pytest.mark.needs("processes")


@pytest.fixture
def local() -> Iterator[str]:
    url = f"shm://test-move-{uuid.uuid4().hex}"
    queue = conveyor.connect(url, create=True)
    yield url
    queue.close()
    conveyor.remove(url)


def drained(queue: Any) -> list[Any]:
    found: list[Any] = []
    while queue.qsize():
        found += queue.get_many(timeout=10)
    return found


def test_all_of_them_there_and_back(
    make: Callable[..., Any], url: str, local: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    queue, here = make(), conveyor.connect(local)
    items = [{"n": n} for n in range(250)]
    queue.put_many(items)
    assert main(["move", "--dry-run", url, local]) == 0
    assert b"would move 250 items" in capfdbinary.readouterr().err
    assert main(["move", "-f", "--json", "-n", "240", url, local]) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert (told["moved"], told["kept"]) == (240, 0)
    assert main(["move", "-f", url, local]) == 0
    assert here.qsize() == 250
    assert here.peek(250) == items
    assert main(["move", "-f", local, url]) == 0
    assert drained(queue) == items
    here.close()


def test_those_that_match(
    make: Callable[..., Any],
    url: str,
    local: str,
    transport: Transport,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    queue, here = make(), conveyor.connect(local)
    items: list[Any] = ["red one", "green one", {"colour": "red"}, 4]
    queue.put_many(items)
    if transport.scheme in ("amqp", "nats"):
        assert main(["move", "-f", "--match", "red", url, local]) == 2
        assert b"counts each delivery" in capfdbinary.readouterr().err
        with pytest.raises(conveyor.NotSupported, match="counted=True"):
            queue.lease(timeout=10).release(counted=False)
        here.close()
        return
    assert main(["move", "--dry-run", "--match", "red", "--json", url, local]) == 0
    assert json.loads(capfdbinary.readouterr().out)["moved"] == 2
    assert main(["move", "-f", "--match", "red", "--json", url, local]) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert (told["moved"], told["kept"]) == (2, 2)
    assert here.get_many() == ["red one", {"colour": "red"}]
    leases = [queue.lease(timeout=10) for _ in range(2)]
    assert sorted((str(lease.item), lease.attempts) for lease in leases) == [("4", 0), ("green one", 0)]
    for lease in leases:
        lease.acknowledge()
    assert main(["move", "-f", "--error", "x", url, local]) == 0
    here.close()


def test_dead_letters_go_back(
    make: Callable[..., Any], make_other: Callable[..., Any], url: str, other_url: str, transport: Transport
) -> None:
    letters = make_other()
    queue = make(max_attempts=1, dead_letters=letters)
    queue.put_many(["a", "b", "c"])
    for reason in ("too late", "no such thing", "too late again"):
        queue.lease(timeout=10).reject(reason)
    assert letters.qsize() == 3
    words = ["retry", "-f", "--from", other_url, url]
    if transport.scheme in ("amqp", "nats"):
        assert main([*words, "--error", "late"]) == 2
        return
    for more, expected in ((["--error", "late"], ["a", "c"]), ([], ["b"])):
        assert main([*words, *more]) == 0
        assert [queue.get(timeout=10) for _ in expected] == expected
    assert letters.qsize() == 0


def test_words_that_mean_nothing(
    make: Callable[..., Any],
    url: str,
    local: str,
    transport: Transport,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    queue = make()
    queue.put(1)
    for words, code, said in (
        (["move", url, url], 2, b"two are needed"),
        (["move", "-n", "0", url, local], 2, b"-n is 0"),
        (["move", url, local + "-not"], 3, b"there is no queue"),
        (["retry", url], 2 if transport.scheme == "shm" else 0, b"--from"),
    ):
        assert main(words) == code
        assert said in capfdbinary.readouterr().err
    done = subprocess.run(
        [sys.executable, "-m", "conveyor", "move", url, local],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5
    assert b"not moved: 1 item from" in done.stderr
    assert queue.qsize() == 1


def test_no_room_moves_what_fits(
    make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    queue = make()
    small = f"shm://test-move-{uuid.uuid4().hex}"
    here = conveyor.connect(small, maxsize=3)
    try:
        queue.put_many(range(5))
        assert main(["move", "-f", "--timeout", "0.1", url, small]) == 4
        assert b"moved 3 items" in capfdbinary.readouterr().err
        assert here.get_many() == [0, 1, 2]
        assert [queue.get(timeout=10) for _ in range(2)] in ([3, 4], [4, 3])
    finally:
        here.close()
        conveyor.remove(small)


def test_one_that_is_killed_loses_nothing(local: str, transport: Transport) -> None:
    if transport.scheme != "shm":
        pytest.skip("of the transport it asks nothing else than test_kills.py does")
    other = f"{local}-other"
    source, target = conveyor.connect(local), conveyor.connect(other, maxsize=2000)
    try:
        items = list(range(20_000))
        source.put_many(items)
        # It waits for room in the midst, with leases in its hands.
        mover = subprocess.Popen([sys.executable, "-m", "conveyor", "move", "-f", local, other])
        while target.qsize() < 2000:
            select.select([], [], [], 0.005)
        os.kill(mover.pid, signal.SIGKILL)
        mover.wait(30)
        there = drained(target)
        assert main(["move", "-n", "1", "-f", local, other]) == 0  # whoever comes finds what the dead had
        left: list[int] = drained(target)
        while len({*there, *left}) < len(items):
            left += source.get_many(1000, timeout=10)
        assert {*there, *left} == {*items}
    finally:
        source.close()
        target.close()
        conveyor.remove(other)
