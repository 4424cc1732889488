"""`conveyor put`, `get` and `tail` with the URL of any transport."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor.cli.app import main

pytestmark = pytest.mark.needs("processes")


def run(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "conveyor", *words]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


class TestPutAndGet:
    def test_lines_in_and_out(self, make: Callable[..., Any], url: str) -> None:
        queue = make()
        done = run("put", url, given=b"one\ntwo\n\xff\xfe\nlast")
        assert done.returncode == 0, done.stderr
        assert b"put 4 items" in done.stderr
        assert queue.get(timeout=10) == "one"
        queue.put({"a": [1]})
        done = run("get", "--all", "--timeout", "1", "--lease", url)
        assert done.returncode == 0, done.stderr
        assert done.stdout == b'two\n\xff\xfe\nlast\n{"a":[1]}\n'
        assert queue.empty()

    def test_json_lines_and_too_few(
        self, make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        queue = make()
        assert main(["put", "--jsonl", url, '{"a": 1}', "[2]", '"x"']) == 0
        assert queue.get(timeout=10) == {"a": 1}
        capfdbinary.readouterr()
        assert main(["get", "--jsonl", "-n", "2", url]) == 0
        assert [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()] == [[2], "x"]
        assert main(["get", "-n", "2", "--timeout", "0.2", url]) == 4
        assert b"2 of 2 are missing" in capfdbinary.readouterr().err
        assert main(["get", "--timeout", "nan", url]) == 2
        assert b"timeout is nan" in capfdbinary.readouterr().err

    def test_what_is_no_json_puts_nothing_more(
        self, make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
    ) -> None:
        queue = make()
        lines = tmp_path / "lines"
        lines.write_text("1\n{\n3\n")
        assert main(["put", "--jsonl", "--file", str(lines), url]) == 2
        assert b"line 2 is not JSON" in capfdbinary.readouterr().err
        assert queue.qsize() == 0

    def test_an_end_is_an_end(
        self, make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        queue = make()
        queue.put_many(["a", "b"])
        queue.shutdown()
        assert main(["get", "--all", url]) == 0
        assert capfdbinary.readouterr().out == b"a\nb\n"
        assert main(["put", url, "more"]) == 5
        assert b"shut down" in capfdbinary.readouterr().err

    def test_what_could_not_be_written_comes_back(self, make: Callable[..., Any], url: str) -> None:
        queue = make()
        queue.put("kept")
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            command = [sys.executable, "-m", "conveyor", "get", "--lease", url]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 1
        assert b"cannot write" in done.stderr
        assert b"Traceback" not in done.stderr
        assert queue.get(timeout=30) == "kept"


class TestPeek:
    @pytest.fixture(autouse=True)
    def _it_can(self, transport: Transport) -> None:
        if not transport.peeks:
            pytest.skip(f"{transport.scheme}:// shows nothing: see docs/transports.md")

    def test_lines_that_stay(
        self, make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        queue = make()
        assert main(["peek", url]) == 4
        assert b"nothing waits in" in capfdbinary.readouterr().err
        queue.put_many(["one", {"a": [1]}, "\N{SNOWMAN}", *range(20)])
        assert main(["peek", "-n", "3", url]) == 0
        assert capfdbinary.readouterr().out == 'one\n{"a":[1]}\n\N{SNOWMAN}\n'.encode()
        assert main(["peek", "--jsonl", url]) == 0
        lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
        assert lines == ["one", {"a": [1]}, "\N{SNOWMAN}", *range(7)]
        assert main(["peek", "-n", "0", url]) == 2
        assert b"-n is 0" in capfdbinary.readouterr().err
        assert queue.qsize() == 23

    def test_what_cannot_be_read(
        self,
        make: Callable[..., Any],
        url: str,
        transport: Transport,
        capfdbinary: pytest.CaptureFixture[bytes],
    ) -> None:
        if transport.scheme == "shm":
            pytest.skip("items of another codec are refused there")
        queue = make(codec="auto")
        raw: Any = conveyor.connect(url, codec="raw")
        queue.put("good")
        raw.put(b"bad")
        queue.put("fine")
        code = (
            "import sys, conveyor; from conveyor.cli.app import main; real = conveyor.connect\n"
            "conveyor.connect = lambda url, **options: real(url, codec='json', **options)\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        raw.close()
        done = subprocess.run(
            [sys.executable, "-c", code, "peek", url], capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (1, b"good\nfine\n"), done.stderr


def test_purge_asks_first(
    make: Callable[..., Any], url: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    queue = make()
    queue.put_many(range(1200))
    assert main(["purge", "--dry-run", url]) == 0
    assert b"would purge 1,200 items of" in capfdbinary.readouterr().err
    done = run("purge", url)
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"not purged: 1,200 items of" in done.stderr
    assert queue.qsize() == 1200
    capfdbinary.readouterr()
    assert main(["purge", "-f", "--json", url]) == 0
    assert json.loads(capfdbinary.readouterr().out)["purged"] == 1200
    assert queue.qsize() == 0


def test_without_one_there_is_a_word(
    transport: Transport, capfdbinary: pytest.CaptureFixture[bytes], url: str
) -> None:
    for verb in (["put", url, "x"], ["get", url], ["peek", url], ["purge", url]):
        assert main(verb) == 3
        assert b"there is no queue" in capfdbinary.readouterr().err
    assert main(["tail", url]) == (3 if transport.topics else 2)
    assert b" no topic" in capfdbinary.readouterr().err
    assert main(["put", "--create", url, "x"]) == 0
    assert conveyor.connect(url).get(timeout=10) == "x"


@pytest.mark.parametrize("verb", ["put", "get", "peek", "purge", "tail", "info", "rm"])
def test_a_client_that_is_not_installed(verb: str, transport: Transport, url: str) -> None:
    client = {"amqp": "pika", "kafka": "confluent_kafka", "nats": "nats", "redis": "redis"}.get(
        transport.scheme
    )
    if client is None:
        pytest.skip(f"{transport.scheme}:// needs no client")
    code = (
        f"import sys; sys.modules[{client!r}] = None\n"
        "from conveyor.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, verb, url], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"pip install" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.needs("topics")
def test_tail_follows(
    transport: Transport, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with transport.fresh(tmp_path, "topic") as url:
        topic: Any = conveyor.connect(url, kind="topic")
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "conveyor", "tail", "-n", "2", "--key", "a.*", url]
        tail = subprocess.Popen(command, stdout=writing)
        os.close(writing)
        stop = threading.Event()

        def publish() -> None:  # until it has begun to listen, nobody hears it
            while not stop.wait(0.05):
                main(["put", "--key", "a.b", url, "event"])
                topic.publish("other", key="b")

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            assert tail.wait(60) == 0
        finally:
            stop.set()
            publisher.join()
            tail.kill()
        with os.fdopen(reading, "rb") as out:
            assert out.read() == b"event\nevent\n"
        assert main(["put", "--key", "k", url.replace("kind=topic", "kind=queue"), "x"]) != 0
