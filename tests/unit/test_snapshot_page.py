"""The page that a run shows itself in: always whole for a reader, and harmless whatever stands in it."""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conveyor.errors import VersionMismatch
from conveyor.inspection.pipeline_view import PipelineView
from conveyor.inspection.pipelines import _opened, _run_on, pipelines
from conveyor.pipeline.base.failure import Failure
from conveyor.pipeline.base.worker_state import WorkerState
from conveyor.pipeline.report.failure_groups import FailureGroups
from conveyor.pipeline.snapshot.page import MOST_BYTES, NAME, VERSION, SnapshotPage, read_snapshot

PLACES = 4096, 4096 + 2**20


@pytest.fixture
def page() -> Iterator[SnapshotPage]:
    made = SnapshotPage()
    yield made
    made.close()


def descriptor(page: SnapshotPage) -> int:
    return page._fd


def mine() -> list[PipelineView]:
    return [view for view in pipelines() if view.pid == os.getpid()]


def read(page: SnapshotPage) -> list[PipelineView]:
    """The same for this page only, without a look at all processes."""
    with _opened(f"/proc/self/fd/{descriptor(page)}") as fd:
        return _run_on(fd, os.getpid())


def started() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def a_run(**different: Any) -> dict[str, Any]:
    """A snapshot of a run of this process."""
    stage = {
        "name": "parse",
        "kind": "processes",
        "feeds": [],
        **dict.fromkeys(("taken", "given", "failures", "retries", "waiting", "in_flight", "workers"), 1),
        **dict.fromkeys(("most_workers", "deaths", "load", "rate"), 0),
        "ended": False,
        "bottleneck": False,
    }
    worker = {
        "stage": 0,
        "place": 0,
        "pid": os.getpid(),
        "state": "busy",
        **dict.fromkeys(("busy_seconds", "wait_seconds", "items", "since", "attempt", "outstanding"), 1),
        "restarts": 0,
        "end": "",
        "history": "b",
    }
    failures = {
        "stage": "parse",
        "kind": "ValueError",
        **dict.fromkeys(("count", "retries", "number", "attempts", "pid", "time"), 1),
        **dict.fromkeys(("item", "message", "where", "traceback"), "?"),
    }
    counted = "at", "seconds", "taken", "results", "failures", "retries", "dead", "in_flight", "resumed"
    left_out = "stages_left_out", "workers_left_out", "failure_groups_left_out"
    return {
        "id": "1.1",
        "name": "mine",
        "place": "",
        "pid": os.getpid(),
        "process_started": started(),
        "started": 1.0,
        "phase": "running",
        **dict.fromkeys((*counted, *left_out), 0),
        "stages": [stage],
        "workers": [worker],
        "failure_groups": [failures],
        **different,
    }


class TestWriting:
    def test_the_last_one_is_read(self, page: SnapshotPage) -> None:
        assert read_snapshot(descriptor(page)) is None
        for snapshot in (b"1", b"22", b"", b"x" * MOST_BYTES, b"5"):
            page.write(snapshot)
            assert read_snapshot(descriptor(page)) == snapshot

    @pytest.mark.parametrize("written", range(3))
    def test_one_that_was_being_written_does_not_hide_the_one_before(
        self, page: SnapshotPage, written: int
    ) -> None:
        page.write(b"first")
        page.write(b"second")
        # Number 3 would stand where 1 is: its head, or half of its bytes, or all but the word that says so.
        head = struct.pack("=QII", 3, 5, 0)
        os.pwrite(descriptor(page), (head, head + b"thi", head + b"third")[written], PLACES[1])
        assert read_snapshot(descriptor(page)) == b"second"

    def test_a_word_that_is_ahead_of_what_it_speaks_of(self, page: SnapshotPage) -> None:
        page.write(b"first")
        os.pwrite(descriptor(page), struct.pack("=Q", 2), 16)
        assert read_snapshot(descriptor(page)) == b"first"

    def test_a_reader_that_is_overtaken_gets_one_that_is_whole(self, page: SnapshotPage) -> None:
        program = f"""
import os, sys
from conveyor.pipeline.snapshot.page import read_snapshot
fd = os.open("/proc/{os.getpid()}/fd/{descriptor(page)}", os.O_RDONLY)
found = set()
while len(found) < 50:
    text = read_snapshot(fd)
    assert text == text[:1] * len(text), text[:100]
    found.add(len(text))
"""
        page.write(b"a")
        reader = subprocess.Popen([sys.executable, "-c", program])
        number = 0
        try:
            while reader.poll() is None and number < 10**7:
                number += 1
                page.write(bytes([97 + number % 26]) * (1 + number * 7919 % 50_000))
            assert reader.wait(30) == 0
        finally:
            reader.kill()
            reader.wait()

    def test_a_child_does_not_keep_it(self, page: SnapshotPage) -> None:
        link = f"/proc/self/fd/{descriptor(page)}"
        child = os.fork()
        if child == 0:
            os._exit(os.path.lexists(link))
        assert os.waitpid(child, 0)[1] == 0
        assert NAME in os.readlink(link)  # noqa: PTH115

    def test_a_limit_of_file_sizes_is_no_end_of_the_program(self) -> None:
        program = f"""
import resource, signal
from conveyor.pipeline.snapshot.page import SnapshotPage
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
page = SnapshotPage()
resource.setrlimit(resource.RLIMIT_FSIZE, ({PLACES[1]}, {resource.RLIM_INFINITY}))
try:
    page.write(b"x" * {MOST_BYTES})
except OSError as error:
    raise SystemExit(error.errno)
"""
        done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
        assert done.returncode == errno.EFBIG


class TestReading:
    def test_what_is_right_is_told(self, page: SnapshotPage) -> None:
        page.write(json.dumps(a_run()).encode())
        (view,) = mine()
        assert (view.name, view.error, view.stages[0].name, view.workers[0].state) == (
            "mine",
            "",
            "parse",
            WorkerState.BUSY,
        )
        assert view.failure_groups[0].kind == "ValueError"

    @pytest.mark.parametrize("different", [{"pid": 1}, {"process_started": 1}])
    def test_a_page_of_another_process_is_no_run_of_this_one(
        self, page: SnapshotPage, different: dict[str, Any]
    ) -> None:
        page.write(json.dumps(a_run(**different)).encode())
        assert mine() == []

    def test_one_that_stands_open_twice_is_one(self, page: SnapshotPage) -> None:
        page.write(json.dumps(a_run()).encode())
        twice = os.dup(descriptor(page))
        try:
            assert len(mine()) == 1
        finally:
            os.close(twice)

    def test_another_version(self, page: SnapshotPage) -> None:
        os.pwrite(descriptor(page), struct.pack("=I", VERSION + 1), 8)
        with pytest.raises(VersionMismatch, match=f"layout {VERSION + 1}"):
            read_snapshot(descriptor(page))
        (view,) = mine()
        assert "another version" in view.error

    @pytest.mark.parametrize(
        "wrong",
        [
            {"taken": -1},
            {"taken": 2**70},
            {"taken": True},
            {"at": float("nan")},
            {"at": float("inf")},
            {"at": None},
            {"name": 7},
            {"stages": {}},
            {"stages": [7]},
            {"stages": [{}]},
            {"total": "many"},
            {"workers": [{"stage": 1}]},
        ],
    )
    def test_what_is_wrong_is_named(self, page: SnapshotPage, wrong: dict[str, Any]) -> None:
        page.write(json.dumps(a_run(**wrong)).encode())
        (view,) = mine()
        assert view.error
        assert view.stages == ()

    def test_control_characters_do_not_reach_a_terminal(self, page: SnapshotPage) -> None:
        page.write(json.dumps(a_run(name="\x1b[2J\ud800\nnext", phase="\x07")).encode())
        (view,) = mine()
        assert (view.name, view.phase) == ("�[2J� next", "�")

    def test_what_has_the_name_of_a_page_and_is_none(self, tmp_path: Path) -> None:
        fd = os.memfd_create(NAME)
        try:
            assert mine() == []  # nothing was written yet
            os.write(fd, b"something else")
            assert "first bytes" in mine()[0].error
        finally:
            os.close(fd)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([0, 8, 16, *PLACES, *(place + 16 for place in PLACES)]),
                st.binary(max_size=64),
            )
        ),
        st.booleans(),
        st.integers(0, 2 * 4096),
    )
    def test_any_bytes(
        self, page: SnapshotPage, changes: list[tuple[int, bytes]], cut: bool, size: int
    ) -> None:
        page.write(json.dumps(a_run()).encode())
        fd = descriptor(page)
        for place, data in changes:
            os.pwrite(fd, data, place)
        if cut:
            os.ftruncate(fd, size)
        assert len(read(page)) <= 1
        with pytest.MonkeyPatch.context() as patch:
            # A checksum is no defence against who means it.
            patch.setattr("conveyor.pipeline.snapshot.page.zlib.crc32", lambda _: 0)
            assert len(read(page)) <= 1

    JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=9,
    )

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.data())
    def test_any_json(self, page: SnapshotPage, data: st.DataObject) -> None:
        run = a_run()
        for _ in range(data.draw(st.integers(1, 3))):
            target = data.draw(
                st.sampled_from([run, run["stages"][0], run["workers"][0], run["failure_groups"][0]])
            )
            key = data.draw(st.sampled_from(sorted(target)))
            if target is not run or key not in (
                "pid",
                "process_started",
                "stages",
                "workers",
                "failure_groups",
            ):
                target[key] = data.draw(self.JSON)
        page.write(json.dumps(run).encode())
        (view,) = read(page)
        json.dumps(view.as_dict()).encode()
        str(view).encode()

    def test_a_deep_nest(self, page: SnapshotPage) -> None:
        page.write(b'{"pid":' + b"[" * 100_000)
        assert mine()[0].error
        page.write(json.dumps(a_run()).encode()[:-1] + b',"total":' + b"[" * 900 + b"]" * 900 + b"}")
        assert mine()[0].error


class TestFailureGroups:
    @staticmethod
    def failure(number: int, kind: str, item: Any = None) -> Failure:
        return Failure("parse", number, item, 1, kind, "m" * 5000, "where", "t" * 50_000)

    def test_they_are_bounded_and_the_latest_are_kept(self) -> None:
        groups = FailureGroups()
        for number in range(100):
            groups.note(self.failure(number, f"Error{number}"), given_up=True)
            groups.note(self.failure(number, "Often"), given_up=False)
        found = groups.as_list()
        assert [group["kind"] for group in found[:3]] == ["Often", "Error99", "Error98"]
        assert (found[0]["retries"], found[0]["count"], found[0]["number"]) == (100, 0, 99)
        assert len(found) == 32
        assert groups.left_out == 100 - 31
        assert len(json.dumps(found)) < 32 * 10_000

    def test_a_large_item_is_not_looked_at_as_a_whole(self) -> None:
        class Counts(list[int]):
            pass

        items = [
            list(range(10**6)),
            b"x" * 10**7,
            {n: n for n in range(10**5)},
            "y" * 10**7,
            bytearray(10**6),
        ]
        groups = FailureGroups()
        for item in items:
            groups.note(self.failure(0, type(item).__name__, item), given_up=True)
        shown = {group["kind"]: group["item"] for group in groups.as_list()}
        assert all(len(text) <= 200 for text in shown.values())
        assert shown["list"].startswith("[0, 1, 2")
        assert shown["bytes"].startswith("b'xxx")

    def test_a_repr_that_raises(self) -> None:
        class Bad:
            def __repr__(self) -> str:
                raise ValueError("no")

        groups = FailureGroups()
        groups.note(self.failure(0, "E", Bad()), given_up=True)
        assert "Bad" in groups.as_list()[0]["item"]


def test_the_letters_of_states_differ() -> None:
    assert len({state.letter for state in WorkerState}) == len(WorkerState)
