"""What a transport does not promise is refused, by an error that says what to use instead; nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport

from conveyor import NotSupported


@pytest.mark.parametrize("bound", ["maxsize", "max_bytes"])
def test_bounds(make: Callable[..., Any], transport: Transport, bound: str) -> None:
    if getattr(transport, {"maxsize": "exact_bounds", "max_bytes": "exact_bytes"}[bound]):
        pytest.skip(f"{transport.scheme}:// has {bound}: see docs/transports.md")
    with pytest.raises(NotSupported, match=rf"{bound}.*redis"):
        make(**{bound: 10})
    with pytest.raises(FileNotFoundError):
        make(create=False)
    queue = make()
    queue.put(1)
    assert queue.get(timeout=10) == 1


def test_delays(make: Callable[..., Any], transport: Transport) -> None:
    if transport.delays:
        pytest.skip(f"{transport.scheme}:// has delays: see docs/transports.md")
    queue = make()
    queue.put(1)
    lease = queue.lease(timeout=10)
    with pytest.raises(NotSupported, match=r"5 s.*redis"):
        lease.release(delay=5)
    lease.acknowledge()  # it was not released


def test_peek(make: Callable[..., Any], transport: Transport) -> None:
    if transport.peeks:
        pytest.skip(f"{transport.scheme}:// shows what waits: see docs/transports.md")
    queue = make()
    queue.put(1)
    with pytest.raises(NotSupported, match="management page"):
        queue.peek()
    lease = queue.lease(timeout=10)
    assert lease.attempts == 0
    lease.acknowledge()
