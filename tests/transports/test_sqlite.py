"""sqlite://: what it promises beside what all transports do."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import programs
import pytest

import conveyor
from conveyor import BrokerUnreachable, CorruptSegment, NotSupported
from conveyor.transports.sqlite.coordination import STARVED

HERE = Path(__file__).parent


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db?queue=jobs"


@pytest.fixture
def queue(url: str) -> Iterator[Any]:
    queue = conveyor.connect(url)
    yield queue
    queue.close()


def rows(folder: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(folder / "jobs.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


class TestUrls:
    def test_slashes_as_of_sqlalchemy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        relative = conveyor.connect("sqlite:///jobs.db?queue=a")
        relative.put(1)
        absolute = conveyor.connect(f"sqlite:///{tmp_path}/jobs.db?queue=a", create=False)
        assert absolute.get(timeout=10) == 1
        other = conveyor.connect(f"sqlite:////{str(tmp_path)[1:]}/jobs.db?queue=a", create=False)
        for one in (relative, absolute, other):
            one.close()

    def test_a_file_has_several_queues(self, tmp_path: Path) -> None:
        first, second = (conveyor.connect(f"sqlite:///{tmp_path}/jobs.db?queue={name}") for name in "ab")
        unnamed = conveyor.connect(f"sqlite:///{tmp_path}/jobs.db")
        first.put(1)
        second.put(2)
        unnamed.put(3)
        assert (first.get(), second.get(), unnamed.get()) == (1, 2, 3)
        conveyor.remove(f"sqlite:///{tmp_path}/jobs.db?queue=a")
        with pytest.raises(FileNotFoundError, match="removed"):
            first.put(1)
        second.put(2)
        assert second.get(timeout=10) == 2
        for queue in (first, second, unnamed):
            queue.close()

    def test_wrong_ones(self, tmp_path: Path) -> None:
        for bad in (
            "sqlite://jobs.db",
            "sqlite:///",
            f"sqlite:///{tmp_path}/j.db?sync=never",
            "sqlite:///j.db?x=1",
        ):
            with pytest.raises(ValueError, match="url is"):
                conveyor.connect(bad)
        with pytest.raises(FileNotFoundError, match="folder"):
            conveyor.connect(f"sqlite:///{tmp_path}/no/such/jobs.db")
        with pytest.raises(NotSupported, match="topics"):
            conveyor.connect(f"sqlite:///{tmp_path}/j.db", kind="topic")

    def test_what_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "jobs.db").write_bytes(b"no database " * 1000)
        with pytest.raises(CorruptSegment, match="database"):
            conveyor.connect(f"sqlite:///{tmp_path}/jobs.db")


class TestLasting:
    def test_items_and_settings_outlive_all_processes(self, url: str) -> None:
        queue = conveyor.connect(url, maxsize=3, max_attempts=5)
        queue.put_many([1, 2, 3])
        queue.close()
        queue = conveyor.connect(url, maxsize=50)
        assert queue.full()
        assert queue.get(timeout=10) == 1
        queue.shutdown()
        queue.close()
        queue = conveyor.connect(url)
        assert queue.is_shutdown
        assert list(queue) == [2, 3]
        queue.close()

    def test_what_was_leased_by_all_who_died_comes_back_as_an_attempt(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        told: Any = conveyor.Queue()
        queue = conveyor.connect(url)
        queue.put_many(["a", "b"])
        queue.close()
        for attempts in range(2):
            holder = context.Process(target=programs.hold_url, args=(url, told))
            holder.start()
            assert told.get(timeout=60) == ("a", attempts)
            holder.kill()
            holder.join()
            holder.close()
        queue = conveyor.connect(url)
        lease = queue.lease(timeout=10)
        assert (lease.item, lease.attempts) == ("a", 2)
        lease.acknowledge()
        assert queue.get(timeout=10) == "b"
        queue.close()

    def test_all_of_very_many_that_a_process_had_come_back(self, url: str) -> None:
        """More than are looked through at a time."""
        queue = conveyor.connect(url)
        queue.put_many(range(2000))
        told: Any = conveyor.Queue()
        holder = multiprocessing.get_context("fork").Process(
            target=programs.hold_many_url, args=(url, told, 1500)
        )
        holder.start()
        assert told.get(timeout=60) == 1500
        assert queue.statistics().leased == 1500
        holder.kill()
        holder.join()
        holder.close()
        got: list[int] = []
        while len(got) < 2000:
            got += queue.get_many(2000, timeout=30)
        assert sorted(got) == list(range(2000))
        queue.close()

    @pytest.mark.parametrize("seconds", [-1e9, 0.0, 1e9])
    def test_whoever_died_starved_holds_up_nobody(self, queue: Any, seconds: float) -> None:
        """What is said of that is a hint, whatever time it has."""
        words = queue._link.open()._at.words
        for number in range(50):
            words[STARVED] = time.monotonic_ns() + int(seconds * 1e9)
            queue.put(number)
        assert queue.get_many(100) == list(range(50))

    def test_a_delay_goes_on(self, url: str) -> None:
        queue = conveyor.connect(url)
        queue.put("later")
        start = time.time()
        queue.lease().release(delay=2)
        queue.close()
        queue = conveyor.connect(url)
        assert queue.empty()
        assert queue.get(timeout=60) == "later"
        assert time.time() - start >= 2
        queue.close()

    def test_a_copy_of_the_file_is_a_queue(self, url: str, tmp_path: Path) -> None:
        queue = conveyor.connect(url)
        queue.put_many(range(5))
        queue.close()
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(tmp_path / "jobs.db", other / "jobs.db")
        copy = conveyor.connect(f"sqlite:///{other}/jobs.db?queue=jobs", create=False)
        assert copy.get_many(10) == list(range(5))
        copy.close()

    def test_without_its_shared_memory_it_is_complete(self, url: str, tmp_path: Path) -> None:
        queue = conveyor.connect(url)
        queue.put_many(range(5))
        assert queue.get() == 0
        queue.close()
        for path in tmp_path.glob("jobs.db-conveyor*"):
            path.unlink()
        queue = conveyor.connect(url)
        queue.put(5)
        assert queue.get_many(10) == [1, 2, 3, 4, 5]
        queue.close()

    def test_the_log_does_not_grow_for_ever(self, queue: Any, tmp_path: Path) -> None:
        body = b"x" * 100_000
        for _ in range(6):
            for _ in range(100):
                queue.put(body)
            for _ in range(100):
                queue.get()
        assert (tmp_path / "jobs.db-wal").stat().st_size < 50 * 2**20
        assert (tmp_path / "jobs.db").stat().st_size < 50 * 2**20

    @pytest.mark.parametrize("sync", ["full", "normal", "off"])
    def test_sync(self, tmp_path: Path, sync: str) -> None:
        queue = conveyor.connect(f"sqlite:///{tmp_path}/jobs.db?queue=jobs&sync={sync}")
        threads = [threading.Thread(target=queue.put_many, args=(range(50),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(queue.get_many(1000)) == 150
        queue.close()


class TestOthers:
    def test_a_shell_may_look(self, queue: Any, tmp_path: Path) -> None:
        queue.put_many(["a", "b", "c"])
        queue.lease(timeout=10).reject("of no use")
        assert rows(tmp_path, "SELECT COUNT(*) FROM conveyor_items_1") == [(2,)]
        assert rows(tmp_path, "SELECT error FROM conveyor_dead") == [("of no use",)]
        assert rows(tmp_path, "SELECT name FROM conveyor_queues") == [("jobs",)]

    def test_a_lock_held_by_somebody_else_delays(self, queue: Any, tmp_path: Path) -> None:
        other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BrokerUnreachable, match="locked"):
            queue.put(1, timeout=0.3)
        timer = threading.Timer(1.5, other.execute, ("COMMIT",))
        timer.start()
        queue.put(2)
        timer.join()
        other.close()
        assert queue.get(timeout=10) == 2

    def test_a_full_disk(self, tmp_path: Path) -> None:
        folder = tmp_path / "small"
        folder.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "none", folder], check=False).returncode:
            pytest.skip("only root can mount a small file system")
        try:
            queue = conveyor.connect(f"sqlite:///{folder}/jobs.db?queue=jobs")
            put = 0
            with pytest.raises(OSError, match="full"):
                while True:
                    queue.put(b"x" * 50_000)
                    put += 1
            assert put
            # Somebody makes room: nothing is lost, and the queue goes on.
            subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
            assert queue.qsize() == put
            queue.put("more")
            got = [queue.get(timeout=10) for _ in range(put + 1)]
            assert got[-1] == "more"
            assert queue.empty()
            queue.close()
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another pid namespace")
    def test_another_pid_namespace_is_refused_while_this_one_is_there(self, queue: Any, url: str) -> None:
        code = f"import conveyor\ntry:\n    conveyor.connect({url!r})\nexcept PermissionError as e:\n    print(e)"
        command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "pid namespace" in done.stdout
        queue.close()
        # Now that nobody else has it open, it may.
        code = f"import conveyor\nconveyor.connect({url!r}).put('from there')"
        command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
        subprocess.run(command, timeout=60, check=True)
        again = conveyor.connect(url)
        assert again.get(timeout=10) == "from there"
        again.close()


class TestWaiting:
    def test_who_waits_sleeps(self, queue: Any) -> None:
        """No polling: a second of waiting costs next to nothing."""
        before = resource.getrusage(resource.RUSAGE_THREAD)
        with pytest.raises(conveyor.Empty):
            queue.get(timeout=1)
        after = resource.getrusage(resource.RUSAGE_THREAD)
        assert after.ru_nvcsw - before.ru_nvcsw < 20
        assert after.ru_utime - before.ru_utime < 0.1

    def test_fair_between_processes(self, url: str) -> None:
        queue = conveyor.connect(url)
        results: Any = conveyor.Queue()
        context = multiprocessing.get_context("fork")
        queue.expect_producers(2)
        children = [context.Process(target=programs.count_url, args=(url, results)) for _ in range(2)]
        children += [context.Process(target=programs.produce_url, args=(url, 2000)) for _ in range(2)]
        for child in children:
            child.start()
        shares = [results.get(timeout=120) for _ in range(2)]
        for child in children:
            child.join(60)
            child.close()
        assert sum(shares) == 4000
        assert min(shares) > 4000 / 6
        queue.close()


class TestDeath:
    def test_kill_at_random_loses_nothing(self, url: str) -> None:
        """Writers and workers are killed while they are at it; each item is dealt with, and none twice for good."""
        queue = conveyor.connect(url)
        told: Any = conveyor.Queue()
        context = multiprocessing.get_context("fork")
        put: set[Any] = set()
        done: list[Any] = []
        for turn in range(12):
            children = [
                context.Process(target=programs.put_and_tell, args=(url, told, turn)),
                context.Process(target=programs.work_and_tell, args=(url, told)),
            ]
            for child in children:
                child.start()
            time.sleep(0.05 + 0.02 * (turn % 5))
            for child in children:
                os.kill(child.pid or 0, signal.SIGKILL)
                child.join()
                child.close()
            while not told.empty():
                what, item = told.get()
                put.add(item) if what == "put" else done.append(item)
        left: list[Any] = []
        while True:
            try:
                left += queue.get_many(1000, timeout=1)
            except conveyor.Empty:
                break
        assert len(left) == len(set(left))
        assert not put - set(done) - set(left) - programs.in_doubt(put, done, left)
        assert not set(done) & set(left)
        assert len(done) == len(set(done))
        connection = sqlite3.connect(Path(url.removeprefix("sqlite:///").partition("?")[0]))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        queue.close()

    @pytest.mark.parametrize("sync", ["normal", "full"])
    @pytest.mark.parametrize("power", ["", "power"])
    def test_between_any_two_system_calls(self, tmp_path: Path, sync: str, power: str) -> None:
        """The writer is killed there; with `power`, it fails there: see power.py."""
        # In a process of its own, that may be traced and forks often. CONVEYOR_STEPS: how many of the places.
        runs = os.environ.get("CONVEYOR_STEPS", "40")
        command = [sys.executable, HERE / "stepping.py", tmp_path, runs, sync, *power.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if "no ptrace" in done.stdout:
            pytest.skip(
                "this system does not let a process trace its child, or its processor is not followed"
            )
        assert "killed at" in done.stdout


class TestForks:
    def test_while_threads_use_it(self, url: str) -> None:
        queue = conveyor.connect(url)
        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                queue.put("x")
                queue.get_nowait()

        threads = [threading.Thread(target=use) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(15):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    queue.put(number)
                    queue.qsize()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        got: list[Any] = []
        while not queue.empty():
            got += queue.get_many(100)
        # Each thread takes as many as it puts, so as many are left as the children have put.
        assert len(got) == 15
        connection = sqlite3.connect(Path(url.removeprefix("sqlite:///").partition("?")[0]))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        queue.close()
