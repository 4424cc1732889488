"""Named queues: `connect`, `remove`, and what lies under /dev/shm."""

from __future__ import annotations

import os
import pickle
import queue as standard
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor.errors import CorruptSegment, VersionMismatch

SHARED_MEMORY = Path("/dev/shm")


def file_of(name: str) -> Path:
    (path,) = SHARED_MEMORY.glob(f"conveyor*{name}")
    return path


def python(code: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", f"import conveyor, sys\nurl = sys.argv[1]\n{code}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout


def test_made_on_demand_and_shared(name: str) -> None:
    queue: conveyor.Queue[Any] = conveyor.connect(f"shm://{name}")
    assert type(queue) is conveyor.Queue
    queue.put({"a": b"x" * 100_000})
    assert conveyor.connect(f"shm://{name}").get() == {"a": b"x" * 100_000}
    python("conveyor.connect(url).put('from another process')", f"shm://{name}")
    assert queue.get(timeout=1) == "from another process"


def test_it_lives_until_it_is_removed(name: str) -> None:
    url = f"shm://{name}"
    python("conveyor.connect(url, create=True).put([1, 2])", url)  # that process is gone now
    assert python("print(conveyor.connect(url, create=False).get())", url) == "[1, 2]\n"
    queue = conveyor.connect(url, create=False)
    assert queue.empty()
    queue.put("left in it")
    conveyor.remove(url)
    with pytest.raises(FileNotFoundError):
        conveyor.connect(url, create=False)
    assert queue.get() == "left in it"  # who is attached goes on
    assert conveyor.connect(url).empty()  # a new one
    queue.put("not in the new one")
    assert conveyor.connect(url).empty()


@pytest.mark.parametrize("create", [True, None])
def test_create(name: str, create: bool | None) -> None:
    url = f"shm://{name}"
    with pytest.raises(FileNotFoundError, match=name):
        conveyor.connect(url, create=False)
    queue = conveyor.connect(url, create=create)
    with pytest.raises(FileExistsError, match=name):
        conveyor.connect(url, create=True)
    queue.put(1)
    assert conveyor.connect(url, create=None).get() == 1
    assert conveyor.connect(url, create=False).empty()


def test_an_existing_queue_keeps_its_bounds(name: str) -> None:
    url = f"shm://{name}"
    queue = conveyor.connect(url, maxsize=2, max_bytes=1000)
    assert conveyor.connect(url)._maxsize == 2
    other = conveyor.connect(url, maxsize=50)
    other.put_many([1, 2])
    assert queue.full()
    with pytest.raises(standard.Full):
        other.put_nowait(3)
    with pytest.raises(conveyor.ItemTooLarge):
        queue.put(b"x" * 1001, timeout=5)


def test_only_for_this_user(name: str) -> None:
    before = os.umask(0)
    try:
        conveyor.connect(f"shm://{name}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file_of(name).stat().st_mode) == 0o600
    assert file_of(name).stat().st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, who is then refused")
def test_another_user_is_refused(name: str) -> None:
    queue = conveyor.connect(f"shm://{name}")
    queue.put(1)
    code = """
import os
from conveyor.transports import shm  # while we may still read it
os.setuid(65534)
for create in None, False:
    try:
        conveyor.connect(url, create=create)
    except PermissionError:
        print("refused")
"""
    assert python(code, f"shm://{name}") == "refused\nrefused\n"
    assert queue.get() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that belongs to another user")
def test_another_users_file_is_not_trusted(name: str) -> None:
    conveyor.connect(f"shm://{name}")
    os.chown(file_of(name), 65534, 65534)
    with pytest.raises(PermissionError):
        conveyor.connect(f"shm://{name}")


@pytest.mark.parametrize(
    "bad",
    ["", "a/b", "../a", ".hidden", "-a", "a b", "ä", "x" * 201, "a\0b", "a\n", "%41", "a:b"],
)
def test_names(bad: str) -> None:
    with pytest.raises(ValueError, match=r"name|url|null"):
        conveyor.connect(f"shm://{bad}", create=False)
    with pytest.raises(ValueError, match=r"name|url|null"):
        conveyor.remove(f"shm://{bad}")


@pytest.mark.parametrize("good", ["a", "_a", "0", "A.b-c_d", "x" * 100])
def test_good_names(good: str, name: str) -> None:
    url = f"shm://{good}{name}"
    queue = conveyor.connect(url, create=True)
    try:
        queue.put(1)
        assert conveyor.connect(url, create=False).get() == 1
    finally:
        conveyor.remove(url)


@pytest.mark.parametrize(
    "url", ["name", "ftp://host/name", "shm:name?x=1", "shm://name?maxsize=3", "shm://name#x"]
)
def test_urls(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        conveyor.connect(url)


@pytest.mark.parametrize(("option", "value"), [("maxsize", 1.5), ("max_bytes", "5")])
def test_bounds_are_integers(name: str, option: str, value: Any) -> None:
    with pytest.raises(TypeError, match=option):
        conveyor.connect(f"shm://{name}", **{option: value})


def test_removing_what_is_not_there(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        conveyor.remove(f"shm://{name}")


def test_a_pickle_names_it(name: str) -> None:
    url = f"shm://{name}"
    queue = conveyor.connect(url)
    data = pickle.dumps(queue)
    del queue
    other = pickle.loads(data)
    other.put(1)
    assert conveyor.connect(url).get() == 1
    del other
    conveyor.remove(url)
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)


def test_a_symbolic_link_is_not_followed(name: str) -> None:
    conveyor.connect(f"shm://{name}").put(1)
    path = file_of(name)
    link = path.with_name(path.name + "-link")
    link.symlink_to(path)
    with pytest.raises(OSError):  # noqa: PT011  (ELOOP has no class of its own)
        conveyor.connect(f"shm://{name}-link")


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_what_is_no_segment(name: str) -> None:
    conveyor.connect(f"shm://{name}")
    path = file_of(name)
    for content in (b"", b"x", b"x" * 4096, b"\0" * 100_000, os.urandom(200_000)):
        path.write_bytes(content)
        with pytest.raises(CorruptSegment):
            conveyor.connect(f"shm://{name}")
    with pytest.raises(CorruptSegment):
        conveyor.connect(f"shm://{name}", create=False)


def test_a_segment_cut_short(name: str) -> None:
    conveyor.connect(f"shm://{name}").put(b"x" * 1_000_000)
    size = file_of(name).stat().st_size
    for left in (size - 1, size // 2, 100_000, 4096, 100):
        os.truncate(file_of(name), left)
        with pytest.raises(CorruptSegment):
            conveyor.connect(f"shm://{name}")


def test_another_version(name: str) -> None:
    conveyor.connect(f"shm://{name}")
    overwrite(file_of(name), 8, (77).to_bytes(4, "little"))
    with pytest.raises(VersionMismatch, match="77"):
        conveyor.connect(f"shm://{name}")


USE_DAMAGED = """
import random
from conveyor.errors import ConveyorError
import queue as standard
try:
    queue = conveyor.connect(url, create=False)
    for call in (
        queue.get_nowait,
        lambda: queue.get_many(block=False),
        lambda: queue.put_nowait(b"y" * 50),
        lambda: queue.put(b"z" * 100_000, timeout=0),
        lambda: queue.get(timeout=0),
        queue.statistics,
        queue.qsize,
        queue.empty,
        queue.full,
    ):
        try:
            call()
        except (ConveyorError, standard.Empty, standard.Full, MemoryError):
            pass
except (ConveyorError, PermissionError):
    pass
print("alive")
"""


def test_a_damaged_segment_is_an_error_and_never_a_crash(name: str) -> None:
    # A header field, a page descriptor or the messages themselves; each in a process of its own.
    import random

    choose = random.Random(11)
    url = f"shm://{name}"
    children = []
    for turn in range(24):
        damaged = f"{name}-{turn}"
        queue = conveyor.connect(f"shm://{damaged}", create=True)
        queue.put_many([("item", number, [1.5, {"a": b"x" * number}]) for number in range(20)])
        queue.put(b"x" * 200_000)
        queue.put({"b": b"x" * 20_000})
        path = file_of(damaged)
        del queue
        with path.open("rb") as file:
            regions = [(24, 4096 * 3), (4096 * 3, 4096 * 3 + 400)]
            file.seek(0, os.SEEK_DATA)
            while len(regions) < 6:
                try:
                    start = file.seek(regions[-1][1], os.SEEK_DATA)
                except OSError:
                    break
                regions.append((start, file.seek(start, os.SEEK_HOLE)))
        low, high = regions[turn % len(regions)]
        for _ in range(30):
            at = choose.randrange(low, min(high, low + 5000))
            overwrite(path, at, choose.choice([b"\xff", b"\0\0\0\0", os.urandom(8), b"\x01"]))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        code = f"import conveyor, sys\nurl = sys.argv[1]\n{USE_DAMAGED}"
        children.append(
            subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-c", code, f"{url}-{turn}"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        if len(children) == 4:
            check_alive(children)
    check_alive(children)


def check_alive(children: list[subprocess.Popen[str]]) -> None:
    try:
        for child in children:
            output, error = child.communicate(timeout=20)
            assert (output, child.returncode) == ("alive\n", 0), error
    finally:
        for child in children:
            child.kill()
            child.communicate()
        children.clear()
