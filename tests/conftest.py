"""What every test gets: a time limit that fits its folder, and a check that it leaves nothing behind.

A test that leaves a child process, a file descriptor or a file of conveyor's under /dev/shm has
found a defect or has one. `@pytest.mark.leaves("why")` excuses a test that means to.

Each test process has a /dev/shm of its own, where it may have one (as root): so several can run beside each other, the
workers of `-n 2 --dist loadgroup` and whole suites.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import forkserver, resource_sharer, resource_tracker
from pathlib import Path

import pytest

# A shell ignores it for what it starts in the background, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

UNIT_SECONDS = 60
GRACE_SECONDS = 3.0
SHARED_MEMORY = Path("/dev/shm")
# Helpers of the standard library's that live as long as the process: not a test's own.
HELPERS = (
    (forkserver, "_forkserver", "_forkserver_pid"),
    (resource_tracker, "_resource_tracker", "_pid"),
)


def have_own_shared_memory() -> bool:
    """Mount an empty /dev/shm for this process and those that it starts; False: it may not."""
    new_mounts, private, recursively = 0x20000, 1 << 18, 1 << 14  # CLONE_NEWNS, MS_PRIVATE, MS_REC
    libc = ctypes.CDLL(None, use_errno=True)
    return (
        libc.unshare(new_mounts) == 0
        and libc.mount(b"none", b"/", None, ctypes.c_ulong(private | recursively), None) == 0
        and libc.mount(b"none", bytes(SHARED_MEMORY), b"tmpfs", ctypes.c_ulong(0), b"size=75%") == 0
    )


# Before anything is made there.
have_own_shared_memory()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "leaves(why): the test leaves processes, files or descriptors on purpose"
    )
    config.addinivalue_line("markers", "slow: takes more than about ten seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    unit = Path(__file__).parent / "unit"
    for item in items:
        if hasattr(config, "workerinput"):  # one of pytest-xdist's
            item.add_marker(pytest.mark.xdist_group(kept_together(item)))
        if unit in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(UNIT_SECONDS))


def kept_together(item: pytest.Item) -> str:
    """The name of those that one worker is to have: they share servers, or what is made once for a file or a folder."""
    folder = item.path.parent.name
    callspec = getattr(item, "callspec", None)
    server = None if callspec is None else callspec.params.get("running")
    if server is not None:
        return f"{folder} {server}"
    return folder if folder == "conformance" else f"{folder} {item.path.name}"


def children() -> dict[int, str]:
    """Our child processes, by pid, without the standard library's helpers."""
    multiprocessing.active_children()  # collects those that have ended
    helpers = {getattr(getattr(module, owner), pid, None) for module, owner, pid in HELPERS}
    found: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            words = listing.read_text().split()
        except OSError:
            continue  # a thread that has ended since
        for word in words:
            if int(word) not in helpers:
                found[int(word)] = _command(int(word))
    return found


def _command(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            or "ended"
        )
    except OSError:
        return "ended"


# What is kept for as long as the process lives: what `context.Value` of multiprocessing draws on, and what conveyor
# looks through whether others live.
_KEPT = ("/dev/shm/pym-", "/dev/zero")


def descriptors() -> dict[str, str]:
    """Open descriptors and what each is; those of the standard library's helpers left out."""
    found: dict[str, str] = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  (a hundred times a second: no Path objects)
        try:
            what = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:
            continue  # the one that listed the folder
        if not what.startswith(_KEPT):
            found[number] = what
    for kept in _descriptors_of_helpers():
        found.pop(str(kept), None)
    return found


def _descriptors_of_helpers() -> Iterator[int | None]:
    yield getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    yield getattr(resource_tracker._resource_tracker, "_fd", None)
    listener = getattr(resource_sharer._resource_sharer, "_listener", None)
    if listener is not None:
        yield listener._listener._socket.fileno()


def shared_files() -> set[str]:
    return {name for name in os.listdir(SHARED_MEMORY) if name.startswith("conveyor.")}  # noqa: PTH208


class Belongings:
    """What the process has; `since` tells what has come."""

    def __init__(self) -> None:
        self.children = children()
        self.descriptors = descriptors()
        self.files = shared_files()

    def since(self, before: Belongings) -> list[str]:
        return [
            *(
                f"child process {pid}: {what}"
                for pid, what in self.children.items()
                if pid not in before.children
            ),
            *(
                f"descriptor {number}: {what}"
                for number, what in self.descriptors.items()
                if before.descriptors.get(number) != what
            ),
            *(f"file {SHARED_MEMORY / name}" for name in self.files - before.files),
        ]


# The queues, by their files, that have lived through a fork.
_settled: set[int] = set()


def _queues(belongings: Belongings) -> set[int]:
    return {
        os.fstat(int(number)).st_ino
        for number, what in belongings.descriptors.items()
        if what.startswith("/memfd:conveyor")
    }


def _settle(before: Belongings) -> Belongings:
    """A queue that lives already gets its second descriptor at the first fork, which may be a test's: fork before.

    Once for each: the fork of a large process takes longer than most tests.
    """
    if _queues(before) <= _settled:
        return before
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    settled = Belongings()
    _settled.clear()
    _settled.update(_queues(settled))
    return settled


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test after which child processes, descriptors or shared files are still there."""
    before = _settle(Belongings())
    yield
    after = Belongings()
    if not after.since(before) or request.node.get_closest_marker("leaves"):
        return
    # What only waits for the collector, or for a child on its last steps, is no leak.
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        gc.collect()
        after = Belongings()
        left = after.since(before)
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    for pid in after.children.keys() - before.children.keys():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if left:
        pytest.fail("the test left behind:\n  " + "\n  ".join(left), pytrace=False)
