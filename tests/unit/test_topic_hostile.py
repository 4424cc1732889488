"""Damage to a topic's memory: no crash, no hang, no step outside of it, and an error that says it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from conveyor import Topic
from conveyor._native import TOPIC_HEADER
from conveyor.errors import ConveyorError, CorruptSegment, VersionMismatch

SHARED_MEMORY = Path("/dev/shm")
PROGRAM = Path(__file__).with_name("flipping_topic.py")
# Of a call with a timeout of a fiftieth of a second; a lock that is said to be held costs a second.
IN_TIME = 5.0
REGION = 4096
PRODUCERS = REGION + 8640 + 16  # TopicHeader::ending, its slots
TABLE = REGION + 12288  # the others


@pytest.mark.parametrize("seed", [1, 2])
def test_flipped_while_everything_goes_on(name: str, seed: int) -> None:
    rounds = "10" if "CONVEYOR_SANITIZED" in os.environ else "20"
    done = subprocess.run(
        [sys.executable, PROGRAM, name, str(seed), rounds],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["longest"] < IN_TIME
    # The damage was really met, and really survived.
    assert told["outcomes"]["CorruptSegment"] > 10
    assert told["outcomes"]["fine"] > 100


def overwrite(name: str, at: int, value: int, size: int = 8) -> None:
    with (SHARED_MEMORY / f"conveyor.{name}").open("r+b") as file:
        file.seek(at)
        file.write(value.to_bytes(size, "little"))


def test_a_log_of_another_size_is_refused(name: str) -> None:
    Topic(name, max_bytes=2**20)
    overwrite(name, REGION, 2**16)
    with pytest.raises(CorruptSegment, match="not a sound topic"):
        Topic(name)


def test_another_layout_is_refused(name: str) -> None:
    Topic(name, max_bytes=2**20)
    overwrite(name, 20, 99, 4)
    with pytest.raises(VersionMismatch):
        Topic(name)


@pytest.mark.parametrize("word", [0, 2**64 - 1, 128, 2**63])
def test_a_damaged_record_is_told_of(name: str, word: int) -> None:
    topic: Topic[int] = Topic(name, max_bytes=2**16)
    subscription = topic.subscribe()
    topic.publish_many(range(3))
    assert subscription.get() == 0
    overwrite(name, REGION + TOPIC_HEADER + 64, word)
    with pytest.raises(CorruptSegment, match="damaged"):
        subscription.get()
    assert "damaged" in (topic._check() or "")


def test_a_full_table_of_producers_is_told_of(name: str) -> None:
    topic: Topic[int] = Topic(name, max_bytes=2**16)
    producer = struct.Struct("<QII24x").pack(1 << 1, 1, 0)  # process 1, which lives, in one block
    path = SHARED_MEMORY / f"conveyor.{name}"
    with path.open("r+b") as file:
        file.seek(PRODUCERS)
        file.write(producer * 16)
        file.seek(TABLE)
        file.write(producer * 65536)
        file.seek(PRODUCERS - 12)
        file.write(struct.pack("<I", 65536))  # all are in use
    with pytest.raises(ConveyorError, match="at most 65536 processes may be inside"), topic.producing():
        pytest.fail("entered")
    overwrite(name, TABLE + 40 * 40000, 0)
    with topic.producing():
        topic.publish(1)
    assert not topic.is_shutdown
