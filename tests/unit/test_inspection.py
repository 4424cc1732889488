"""What the doctor finds out, and what the collector removes: the floor under the command."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from owners import owner_of

import conveyor
from conveyor._control_groups import MemoryLimit
from conveyor.inspection import Finding, Level, Outcome, collect, examine, size_text, system
from conveyor.inspection.queues import examine_queues
from conveyor.inspection.system import tightest_memory_limit

SHARED_MEMORY = Path("/dev/shm")


def file_of(name: str) -> Path:
    return SHARED_MEMORY / f"conveyor.{name}"


def write(name: str, at: int, data: bytes) -> None:
    with file_of(name).open("r+b") as file:
        file.seek(at)
        file.write(data)


def look(name: str) -> Finding:
    [finding] = examine_queues([name])
    return finding


class Holder:
    """Another process that is attached to a queue until `end`."""

    def __init__(self, name: str, code: str = "", user: str = "") -> None:
        program = (
            "import conveyor, os, sys\n"
            f"{user}\n"
            "queue = conveyor.connect(f'shm://{sys.argv[1]}')\n"
            f"{code}\n"
            "print('attached', flush=True)\n"
            "sys.stdin.read()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "attached\n"

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate(timeout=30)

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(kill=True)


class TestQueues:
    def test_in_use(self, name: str) -> None:
        with Holder(name, "queue.put('x' * 1000)") as holder:
            found = look(name)
            assert found.level is Level.OK
            assert (found.facts["items"], found.facts["users"]) == (1, [holder.process.pid])
            assert found.facts["producers"] == [holder.process.pid]
            assert found.facts["consumers"] == []
            assert f"1 item, {size_text(found.facts['memory'])}; in use by process" in found.text
            assert file_of(name).stat().st_blocks * 512 == found.facts["memory"]

    def test_leaked(self, name: str) -> None:
        with Holder(name) as holder:
            holder.end(kill=True)
        found = look(name)
        assert (found.level, found.advice) == (Level.PROBLEM, "conveyor gc")
        assert "nobody alive uses it" in found.text

    def test_kept_with_items(self, name: str) -> None:
        conveyor.connect(f"shm://{name}").put_many(range(1200))
        found = look(name)
        assert found.level is Level.NOTE
        assert "1,200 items" in found.text

    def test_the_look_changes_nothing(self, name: str) -> None:
        queue = conveyor.connect(f"shm://{name}")
        queue.put_many(["a", b"b" * 100_000])
        before = queue.statistics()
        look(name)
        assert queue.statistics() == before
        assert queue.get_many() == ["a", b"b" * 100_000]

    def test_in_use_by_a_forked_child_alone(self, name: str) -> None:
        """The child did nothing with the queue; it only has it mapped."""
        with Holder(name, "if os.fork(): os._exit(0)") as holder:
            found = look(name)
            assert found.level is Level.OK
            assert len(found.facts["users"]) == 1
            assert found.facts["users"] != [holder.process.pid]
            assert collect([name])[0].outcome is Outcome.IN_USE

    @pytest.mark.parametrize(
        ("damage", "text"),
        [
            (lambda name: write(name, 0, b"x"), "no conveyor mark"),
            (lambda name: os.truncate(file_of(name), 100_000), "100000 bytes instead of"),
            (lambda name: os.truncate(file_of(name), 0), "fewer than a header"),
            (lambda name: write(name, 48, b"\xff\xff"), "do not fit together"),
            (lambda name: write(name, 8, b"\x4d"), "layout 77"),
            (lambda name: write(name, 448, (10**9).to_bytes(8, "little")), "damaged"),
        ],
    )
    def test_damaged(self, name: str, damage: Any, text: str) -> None:
        conveyor.connect(f"shm://{name}").put_many(["x" * 100] * 5)
        damage(name)
        found = look(name)
        assert (found.level, found.advice) == (Level.PROBLEM, f"conveyor rm -f shm://{name}")
        assert text in found.text

    def test_of_another_version_and_in_use(self, name: str) -> None:
        queue = conveyor.connect(f"shm://{name}")
        write(name, 8, b"\x4d")
        found = look(name)
        assert found.level is Level.NOTE
        assert f"in use by process {os.getpid()} " in found.text
        assert queue.empty()

    @pytest.mark.parametrize("kind", ["directory", "symbolic link", "FIFO", "name"])
    def test_foreign(self, name: str, kind: str) -> None:
        path = file_of(name)
        if kind == "directory":
            path.mkdir()
        elif kind == "symbolic link":
            path.symlink_to("/dev/zero")
        elif kind == "FIFO":
            os.mkfifo(path)
        else:
            path = file_of(f"{name} b")
            path.touch()
        [found] = examine_queues([path.name.removeprefix("conveyor.")])
        assert (found.level, found.subject, found.advice) == (Level.PROBLEM, str(path), f"rm -ri {path}")
        assert kind in found.text
        assert collect([path.name.removeprefix("conveyor.")], force=True) == []
        assert path.exists() or path.is_symlink()

    def test_a_descriptor_left_over(self, name: str) -> None:
        os.mkfifo(f"{file_of(name)}.ready")
        found = look(name)
        assert (found.level, found.advice) == (Level.NOTE, f"rm {file_of(name)}.ready")
        conveyor.connect(f"shm://{name}").put(1)
        assert look(name).subject == f"shm://{name}"

    @pytest.mark.parametrize("lock", [512, 640, 896])
    def test_held_up_by_a_process_that_is_stopped(self, name: str, lock: int) -> None:
        with Holder(name) as holder:
            pid = holder.process.pid
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            write(name, lock, owner_of(pid).to_bytes(8, "little"))
            start = time.monotonic()
            found = look(name)
            assert time.monotonic() - start < 8
            assert (found.level, found.advice) == (Level.PROBLEM, f"kill -CONT {pid}")
            assert f"by process {pid} (" in found.text
            assert "which is stopped" in found.text

    def test_held_up_by_damage(self, name: str) -> None:
        queue = conveyor.connect(f"shm://{name}")
        pid = os.getppid()
        write(name, 512, (pid << 1).to_bytes(8, "little"))
        found = look(name)
        assert (found.level, found.advice) == (Level.PROBLEM, f"conveyor rm -f shm://{name}")
        assert "which does not use the queue" in found.text
        assert queue.empty()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_one_that_may_not_be_read(self, name: str) -> None:
        code = (
            "import os, sys\n"
            "from conveyor.inspection.queues import examine_queues\n"
            "list(examine_queues([]))\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "os.close(os.open(f'/dev/shm/conveyor.{sys.argv[1]}', os.O_CREAT | os.O_WRONLY, 0))\n"
            "[found] = examine_queues([sys.argv[1]])\n"
            "print(found.level, found.advice)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == f"problem chmod 600 {file_of(name)}\n", done.stderr


class TestCollect:
    def test_empty_and_unused(self, name: str) -> None:
        queue = conveyor.connect(f"shm://{name}")
        queue._reader.fileno()
        assert [each.outcome for each in collect([name])] == [Outcome.IN_USE]
        del queue
        [would] = collect([name], dry_run=True)
        assert would.outcome is Outcome.WOULD_REMOVE
        assert file_of(name).exists()
        held = file_of(name).stat().st_blocks * 512
        [done] = collect([name])
        assert (done.outcome, done.items, done.memory) == (Outcome.REMOVED, 0, held)
        assert not list(SHARED_MEMORY.glob(f"conveyor.{name}*"))
        assert collect([name]) == []

    def test_with_items(self, name: str) -> None:
        conveyor.connect(f"shm://{name}").put_many([1, 2])
        [kept] = collect([name])
        assert (kept.outcome, kept.items, kept.reason) == (Outcome.REFUSED, 2, "2 items in it")
        assert conveyor.connect(f"shm://{name}", create=False).get_many() == [1, 2]
        conveyor.connect(f"shm://{name}").put(3)
        assert collect([name], force=True)[0].outcome is Outcome.REMOVED
        assert not file_of(name).exists()

    def test_in_use_by_the_living_alone(self, name: str) -> None:
        with Holder(name) as first, Holder(name) as second:
            assert collect([name], force=True)[0].outcome is Outcome.IN_USE
            first.end(kill=True)
            assert collect([name], force=True)[0].outcome is Outcome.IN_USE
            second.end(kill=True)
            assert collect([name])[0].outcome is Outcome.REMOVED

    @pytest.mark.parametrize("at", [0, 8])
    def test_what_cannot_be_counted_may_hold_items(self, name: str, at: int) -> None:
        conveyor.connect(f"shm://{name}")
        write(name, at, b"\x4d")
        assert collect([name])[0].outcome is Outcome.REFUSED
        assert collect([name], force=True)[0].outcome is Outcome.REMOVED

    def test_a_version_that_takes_no_lock_is_seen_all_the_same(self, name: str) -> None:
        queue: Any = conveyor.connect(f"shm://{name}")
        fcntl.flock(queue._segment.memory_fd, fcntl.LOCK_UN)
        assert collect([name], force=True)[0].outcome is Outcome.IN_USE

    def test_an_attacher_waits_for_a_collector_and_finds_no_queue(self, name: str) -> None:
        conveyor.connect(f"shm://{name}")
        with file_of(name).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(BlockingIOError, match="being removed"):  # that collector was stopped
                conveyor.connect(f"shm://{name}")
            with pytest.raises(BlockingIOError):
                conveyor.remove(f"shm://{name}")
            assert errno.EAGAIN == errno.EWOULDBLOCK
        assert conveyor.connect(f"shm://{name}").empty()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_another_users_is_nobody_elses_business(self, name: str) -> None:
        conveyor.connect(f"shm://{name}")
        os.chown(file_of(name), 65534, 65534)
        assert collect([name], force=True) == []
        assert list(examine_queues([name])) == []
        assert file_of(name).exists()


class TestSystem:
    def test_looks_at_all_of_it(self) -> None:
        found = {finding.subject: finding for finding in examine([])}
        assert list(found) == [
            "versions",
            "memfd_create",
            "futex",
            "/dev/shm",
            "memory limit",
            "ulimit -v",
            "ulimit -n",
            "ulimit -l",
            "start method",
            "processors",
            "pid namespace",
        ]
        assert found["futex"].text == "works"
        assert found["processors"].facts["usable"] == len(os.sched_getaffinity(0))
        assert found["versions"].facts["conveyor"] == conveyor.__version__
        assert (
            found["/dev/shm"].facts["total"]
            == os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize
        )

    def test_no_folder_for_named_queues(self, tmp_path: Path) -> None:
        found = system._shared_folder(tmp_path / "missing")
        assert found.level is Level.PROBLEM
        assert "named queues" in found.text

    def test_memory_nearly_used_up(self) -> None:
        assert system._memory_limit(lambda: MemoryLimit(1000, 950)).level is Level.PROBLEM
        assert system._memory_limit(lambda: MemoryLimit(1000, 500)).level is Level.OK

    @pytest.mark.parametrize(
        ("limit", "value", "subject", "level"),
        [
            ("RLIMIT_NOFILE", 100, "ulimit -n", Level.PROBLEM),
            ("RLIMIT_AS", 2**34, "ulimit -v", Level.NOTE),
            ("RLIMIT_AS", 2**29, "ulimit -v", Level.PROBLEM),
            ("RLIMIT_MEMLOCK", 0, "ulimit -l", Level.OK),
        ],
    )
    @pytest.mark.skipif("CONVEYOR_SANITIZED" in os.environ, reason="the sanitizer needs all addresses")
    def test_limits(self, limit: str, value: int, subject: str, level: Level) -> None:
        code = (
            "import resource, sys\n"
            "from conveyor.inspection import examine\n"
            f"resource.setrlimit(resource.{limit}, ({value}, {value}))\n"
            f"[found] = [each for each in examine([]) if each.subject == {subject!r}]\n"
            "print(found.level, found.facts['limit'])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout == f"{level} {value}\n", done.stderr

    def test_the_tightest_group_counts(self, tmp_path: Path) -> None:
        (tmp_path / "self").mkdir()
        (tmp_path / "self" / "cgroup").write_text("0::/outer/inner\n")
        for folder, limit, used in (
            ("outer", "1000", "900"),
            ("outer/inner", "max", "800"),
            (".", "5000", "10"),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "memory.max").write_text(limit)
            (tmp_path / folder / "memory.current").write_text(used)
        assert tightest_memory_limit(tmp_path, tmp_path) == MemoryLimit(1000, 900)

    def test_groups_of_version_1(self, tmp_path: Path) -> None:
        (tmp_path / "self").mkdir()
        (tmp_path / "self" / "cgroup").write_text("4:cpu,memory:/box\n2:cpu:/\n0::/\n")
        (tmp_path / "memory" / "box").mkdir(parents=True)
        for folder, limit in (("memory", str(2**63 - 4096)), ("memory/box", "7000")):
            (tmp_path / folder / "memory.limit_in_bytes").write_text(limit)
            (tmp_path / folder / "memory.usage_in_bytes").write_text("5")
        assert tightest_memory_limit(tmp_path, tmp_path) == MemoryLimit(7000, 5)

    def test_no_group(self, tmp_path: Path) -> None:
        assert tightest_memory_limit(tmp_path, tmp_path) is None


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KiB"), (2**40, "1,024.0 GiB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
