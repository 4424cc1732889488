"""`conveyor wait` on the queues of any transport."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport

from conveyor.cli.app import main

pytestmark = pytest.mark.needs("processes")


def test_until_it_is_empty(
    make: Callable[..., Any], url: str, transport: Transport, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    queue = make()
    assert main(["wait", "--json", url]) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert (told["depth"], told["ended"], told["done"]) == (0, False, True)
    queue.put_many([1, 2])
    assert main(["wait", "--timeout", "0.2", url]) == 4
    assert b"2 waiting in" in capfdbinary.readouterr().err
    lease = queue.lease(timeout=10)
    assert queue.get(timeout=10) == 2
    if transport.scheme != "amqp":  # which does not tell
        assert main(["wait", "--timeout", "0", url]) == 4
        assert b"1 under lease" in capfdbinary.readouterr().err
    waiting = subprocess.Popen([sys.executable, "-m", "conveyor", "wait", url])
    lease.acknowledge()
    assert waiting.wait(60) == 0


def test_until_it_ends(make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    queue = make()
    assert main(["wait", "--until", "end", "--timeout", "0", url]) == 4
    assert b"has not ended" in capfdbinary.readouterr().err
    waiting = subprocess.Popen([sys.executable, "-m", "conveyor", "wait", "--until", "end", url])
    queue.shutdown()
    assert waiting.wait(60) == 0
    assert main(["wait", "--timeout", "-1", url]) == 2
