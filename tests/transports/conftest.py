"""Runs each conformance test on each transport."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transport import TRANSPORTS, Transport

import conveyor


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(...): what a transport must be able to do for this test")


@pytest.fixture(scope="session", params=sorted(TRANSPORTS))
def running(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """The transport, started."""
    transport = TRANSPORTS[request.param]()
    transport.start()
    yield transport
    transport.stop()


@pytest.fixture
def transport(running: Transport, request: pytest.FixtureRequest) -> Transport:
    """The transport; skips the test if it cannot do what the test needs."""
    for mark in request.node.iter_markers("needs"):
        for need in mark.args:
            if not getattr(running, need):
                pytest.skip(f"{running.scheme}:// does not promise {need}: see docs/transports.md")
    return running


@pytest.fixture
def url(transport: Transport, tmp_path: Path) -> Iterator[str]:
    """Where nothing is yet."""
    with transport.fresh(tmp_path) as fresh:
        yield fresh


@contextlib.contextmanager
def queues_at(url: str) -> Iterator[Callable[..., Any]]:
    """Makes queues there, and closes them behind."""
    made: list[Any] = []

    def connect(**options: Any) -> Any:
        queue = conveyor.connect(url, **options)
        made.append(queue)
        return queue

    yield connect
    while made:
        made.pop().close()


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., Any]]:
    """Makes queues at the URL, and closes them behind."""
    with queues_at(url) as connect:
        yield connect


@pytest.fixture
def topic_url(transport: Transport, tmp_path: Path) -> Iterator[str]:
    """Where no topic is yet."""
    if not transport.topics:
        pytest.skip(f"{transport.scheme}:// has no topics: see docs/transports.md")
    with transport.fresh(tmp_path, "topic") as fresh:
        yield fresh


@pytest.fixture
def make_topic(topic_url: str) -> Iterator[Callable[..., Any]]:
    """Makes topics at the URL, and closes them behind."""
    made: list[Any] = []

    def connect(**options: Any) -> Any:
        topic = conveyor.connect(topic_url, kind="topic", **options)
        made.append(topic)
        return topic

    yield connect
    while made:
        topic = made.pop()
        if hasattr(topic, "close"):
            topic.close()


@pytest.fixture
def other_url(transport: Transport, tmp_path: Path) -> Iterator[str]:
    """Another place where nothing is yet."""
    with transport.fresh(tmp_path) as fresh:
        yield fresh


@pytest.fixture
def make_other(other_url: str) -> Iterator[Callable[..., Any]]:
    """Makes queues at the other place, and closes them behind."""
    with queues_at(other_url) as connect:
        yield connect
