"""What is said of redis:// alone."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import conveyor
from conveyor import NotSupported, ShutDown
from servers.redis_server import Redis
from servers.registry import make, shared


@pytest.fixture(params=["redis", "valkey"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    url = shared(request.param).url(f"test-{uuid.uuid4().hex}")
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


def test_queues_and_topics_on_redis_and_valkey(url: str) -> None:
    queue: Any = conveyor.connect(url, maxsize=10_000)
    queue.put_many(range(5000))
    with pytest.raises(ZeroDivisionError), queue.lease() as item:
        raise ZeroDivisionError(item)
    queue.lease().release(delay=0.01)
    got: list[int] = []
    while len(got) < 5000:
        got += queue.get_many(10_000, timeout=10)
    assert sorted(got) == list(range(5000))
    queue.close()
    conveyor.remove(url)
    topic: Any = conveyor.connect(url, kind="topic")
    with topic.subscribe("a.*") as subscription:
        topic.publish_many(range(3000), key="a.b")
        topic.publish(-1, key="b")
        topic.shutdown()
        assert list(subscription) == list(range(3000))
    topic.close()


def test_what_was_made_is_removed_with_its_keys(url: str) -> None:
    server = shared("redis")
    if f":{server.port}/" not in url:
        pytest.skip("the keys are looked at in redis")
    queue: Any = conveyor.connect(url)
    queue.put_many(range(3))
    lease = queue.lease()
    queue.lease().reject("bad")
    lease.release(delay=100)
    queue.close()
    conveyor.remove(url)
    assert isinstance(server, Redis)
    redis = pytest.importorskip("redis")
    with redis.Redis(host=server.host, port=server.port, password=server.password) as client:
        base = url.rpartition("/")[2]
        # The answers that are kept for those who call again go by themselves.
        left = [key for key in client.scan_iter(match=f"*{base}*") if b":call:" not in key]
        assert left == []
        assert all(client.pttl(key) > 0 for key in client.scan_iter(match=f"*{base}*"))


def test_an_empty_item(url: str) -> None:
    queue: Any = conveyor.connect(url, codec="raw", maxsize=5)
    queue.put(b"")
    lease = queue.lease()
    assert lease.item == b""
    lease.release()
    assert queue.get() == b""
    queue.close()


def test_the_end_does_not_busy_the_server(url: str) -> None:
    queue: Any = conveyor.connect(url)
    queue.put(1)
    queue.lease().release(delay=0.5)
    queue.shutdown()
    asked = 0
    backend = queue._link.backend
    run = backend._run

    def count(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return run(*arguments)

    backend._run = count
    assert queue.get(timeout=10) == 1
    with pytest.raises(ShutDown):
        queue.get()
    assert asked < 300
    queue.close()


class TestRefusals:
    def test_a_server_that_drops_what_it_likes(self) -> None:
        server = make("redis")
        with (server.data / "redis.conf").open("a") as conf:
            conf.write("maxmemory 100mb\nmaxmemory-policy allkeys-lru\n")
        server.start()
        try:
            with pytest.raises(NotSupported, match="allkeys-lru"):
                conveyor.connect(server.url("jobs"))
        finally:
            server.kill()

    def test_a_server_that_is_full(self) -> None:
        server = make("redis")
        with (server.data / "redis.conf").open("a") as conf:
            conf.write("maxmemory 3mb\n")
        server.start()
        try:
            queue: Any = conveyor.connect(server.url("jobs"))
            with pytest.raises(OSError, match="maxmemory") as full:
                for _ in range(100):
                    queue.put(b"x" * 100_000)
            assert full.value.errno is not None
            assert len(queue.get()) == 100_000
            queue.close()
        finally:
            server.kill()

    @pytest.mark.parametrize(
        ("url", "error"),
        [
            ("redis://one,two/jobs", NotSupported),
            ("redis://one/zero/jobs", ValueError),
            ("redis://one/0/jobs?keep_alive=0.1", ValueError),
            ("redis://one/0/jobs?group=g", ValueError),
        ],
    )
    def test_urls(self, url: str, error: type[Exception]) -> None:
        with pytest.raises(error, match=r"one|keep_alive|group"):
            conveyor.connect(url)
