"""`conveyor check`, as a monitoring system calls it."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path

import pytest

import conveyor
from conveyor.cli.app import main
from conveyor.inspection import survey


@pytest.fixture
def label() -> str:
    return f"label-{uuid.uuid4().hex}"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["check", *words])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return code, lines[0]


def test_limits_of_each_figure(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue = conveyor.Queue(label=label)
    queue.put_many(range(10))
    assert said(capsys, label) == (
        0,
        f"CONVEYOR OK - {label}: 10 waiting, 0 dead, 0 consumers, 1 producers, 0 s a put waits | "
        "depth=10;;;0 dead=0;;;0 consumers=0;;;0 producers=1;;;0 put_wait=0s;;;0",
    )
    for words, code, text in (
        (("--depth", "11"), 0, "depth=10;11;;0"),
        (("--depth", "10,11"), 1, "WARNING - .*: depth 10 is at or above 10; 10 waiting"),
        (("--depth=5,10",), 2, "CRITICAL - .*: depth 10 is at or above 10"),
        (("--consumers", "2,1"), 2, "consumers 0 is below 1; .*consumers=0;2:;1:;0"),
        (("--consumers", "1,0"), 1, "consumers 0 is below 1"),
        (("--producers", "1"), 0, "OK"),
        (("--depth", "10", "--consumers", "1,1"), 2, "depth 10 .*; consumers 0 is below 1"),
    ):
        found, line = said(capsys, *words, label)
        assert found == code, line
        import re

        assert re.search(text, line), line
    queue.get()
    assert said(capsys, "--consumers", "1", label)[0] == 0


def test_a_put_that_waits_too_long(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue = conveyor.Queue(1, label=label)
    queue.put(1)
    thread = threading.Thread(target=queue.put, args=(2,))
    thread.start()
    end = time.monotonic() + 30
    while not survey().find(label)[0].waiters:
        assert time.monotonic() < end
    code, line = said(capsys, "--put-wait", "0.001,3600", label)
    assert code == 1
    assert "put_wait" in line
    assert [queue.get(), queue.get()] == [1, 2]
    thread.join()
    assert said(capsys, "--put-wait", "0.001", label)[0] == 0


def test_on_a_broker_what_it_does_not_tell_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?queue=jobs"
    queue = conveyor.connect(url)
    queue.put_many([1, 2])
    queue.close()
    assert said(capsys, "--depth", "2", url)[0] == 1
    code, line = said(capsys, "--consumers", "1", url)
    assert (code, "consumers is not told here" in line) == (3, True)
    assert said(capsys, "--consumers", "1", "--depth", "1,2", url)[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-label",),
        ("shm://no-such-queue",),
        ("--depth", "x", "shm://jobs"),
        ("--depth", "5,4", "shm://jobs"),
        ("--consumers", "1,2", "shm://jobs"),
        ("--depth", "-1", "shm://jobs"),
        ("redis://127.0.0.1:1/0/jobs?reconnect_timeout=0.1",),
        ("nonsense://x",),
    ],
)
def test_what_cannot_be_judged_is_unknown(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, *words)
    assert code == 3
    assert line.startswith("CONVEYOR UNKNOWN - ")


def test_a_topic_is_no_queue(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    topic = conveyor.Topic(label=label)
    assert said(capsys, label) == (3, f"CONVEYOR UNKNOWN - {label} is a topic; only queues can be judged")
    del topic


def test_the_age_in_shared_memory_is_known_of_an_empty_queue(
    label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = conveyor.Queue(label=label)
    code, line = said(capsys, "--age", "60,600", label)
    assert (code, "0 s the oldest waits" in line, "age=0s;60;600;0" in line) == (0, True, True)
    queue.put(1)
    code, line = said(capsys, "--age", "60,600", label)
    assert (code, "age is not known: items in shared memory carry no time" in line) == (3, True)
