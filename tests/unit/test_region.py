"""Region: shared memory that is no queue, in this process, in others, and under a name."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

import conveyor
from conveyor._memory.references import RegionReference, reference_to_region
from conveyor._native import Region, Segment
from conveyor.inspection import Level, Outcome, collect
from conveyor.inspection.queues import examine_queues

METHODS = ["fork", "spawn", "forkserver"]


class Handle:
    """What a topic or a shared dict is: a thing that stands on a region, and travels with it."""

    def __init__(self, region: Region) -> None:
        self.region = region

    def __getstate__(self) -> RegionReference:
        return reference_to_region(self.region)

    def __setstate__(self, state: RegionReference) -> None:
        self.region = state.open()


def fresh(kind: str = "dict", size: int = 8192) -> Region:
    region = Region.create(kind, size)
    region.reserve(0, size)
    return region


def mark(handle: Handle, back: Any = None) -> None:
    memoryview(handle.region)[0] += 1
    if back is not None:
        back.put(handle)


class TestRegion:
    def test_is_memory(self) -> None:
        region = fresh(size=10_000)
        view = memoryview(region)
        assert len(view) == region.size == 10_000
        assert not any(view)
        view[9_999] = 7
        assert memoryview(region)[9_999] == 7
        assert region.memory_held >= 10_000
        region.give_back(0, 10_000)
        assert region.memory_held < 12_000

    def test_a_view_keeps_the_memory(self) -> None:
        view = memoryview(fresh())
        view[0] = 1
        assert view[0] == 1

    def test_bad_arguments_say_what_is_wrong(self) -> None:
        with pytest.raises(ValueError, match="kind is 'stack'; it must be topic, state"):
            Region.create("stack", 4096)
        with pytest.raises(ValueError, match="the region has 8192"):
            fresh().reserve(8192, 1)
        with pytest.raises(conveyor.OutOfMemory, match="shared dict of 0 bytes"):
            Region.create("dict", 0)

    def test_no_memory_is_an_exception(self) -> None:
        region = Region.create("topic", 1 << 40)
        with pytest.raises(conveyor.OutOfMemory, match="no memory for 1099511627776 bytes"):
            region.reserve(0, 1 << 40)
        region.give_back(0, 1 << 40)


class TestTravel:
    @pytest.mark.parametrize("method", METHODS)
    def test_to_a_child_and_back_through_a_queue(self, method: str) -> None:
        context = multiprocessing.get_context(method)
        handle = Handle(fresh())
        back: conveyor.Queue[Handle] = conveyor.Queue()
        child = context.Process(target=mark, args=(handle, back))
        child.start()
        assert back.get(timeout=30).region is handle.region
        child.join()
        assert memoryview(handle.region)[0] == 1

    def test_twice_in_one_pickle(self) -> None:
        handle = Handle(fresh())
        one, other = pickle.loads(pickle.dumps([handle, Handle(handle.region)]))
        assert one.region is other.region is handle.region
        assert handle.region.exports == 0

    def test_the_sender_may_drop_it_at_once(self) -> None:
        packed = pickle.dumps(Handle(fresh()))
        assert pickle.loads(packed).region.size == 8192

    def test_after_the_senders_end(self) -> None:
        program = (
            "import pickle, sys\n"
            "from conveyor._native import Region\n"
            "from conveyor._memory.references import reference_to_region\n"
            "sys.stdout.buffer.write(pickle.dumps(reference_to_region(Region.create('topic', 4096))))\n"
        )
        packed = subprocess.check_output(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        with pytest.raises(conveyor.SegmentGone, match="the topic in this pickle is gone"):
            pickle.loads(packed).open()


class TestNamed:
    def test_made_opened_and_sent(self, name: str) -> None:
        region = Region.create_named(name, "topic", 4096)
        assert Region.open_named(name, "topic") is region
        assert pickle.loads(pickle.dumps(Handle(region))).region is region
        with pytest.raises(FileExistsError):
            Region.create_named(name, "topic", 4096)
        Region.remove_named(name)
        with pytest.raises(FileNotFoundError):
            Region.open_named(name, "topic")

    def test_the_wrong_kind_is_said_to_be_what_it_is(self, name: str) -> None:
        Region.create_named(name, "topic", 4096)
        with pytest.raises(conveyor.WrongKind, match="it is a topic, not a queue"):
            conveyor.connect(f"shm://{name}")
        with pytest.raises(conveyor.WrongKind, match=f"'{name}': it is a topic, not a shared dict"):
            Region.open_named(name, "dict")
        with pytest.raises(conveyor.VersionMismatch, match="has layout 1, this conveyor has 2"):
            Region.open_named(name, "topic", 2)
        Region.remove_named(name)
        Segment.create_named(name)
        with pytest.raises(conveyor.WrongKind, match="it is a queue, not a topic"):
            Region.open_named(name, "topic")

    def test_doctor_and_gc_know_it(self, name: str) -> None:
        region = Region.create_named(name, "topic", 4096)
        [finding] = examine_queues([name])
        assert finding.level is Level.OK
        assert "a topic" in finding.text
        assert "in use" in finding.text
        assert [each.outcome for each in collect([name])] == [Outcome.IN_USE]
        del region
        [finding] = examine_queues([name])
        assert finding.level is Level.NOTE
        [kept] = collect([name])
        assert kept.outcome is Outcome.REFUSED
        assert "a topic" in kept.reason
        assert [each.outcome for each in collect([name], force=True)] == [Outcome.REMOVED]

    def test_rm_removes_it(self, name: str) -> None:
        Region.create_named(name, "list", 4096)
        done = subprocess.run(
            [sys.executable, "-m", "conveyor", "rm", "-f", f"shm://{name}"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "it is a shared list" in done.stderr
        with pytest.raises(FileNotFoundError):
            Region.open_named(name, "list")
