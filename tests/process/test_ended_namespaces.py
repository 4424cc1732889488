"""What processes of a pid namespace left behind that has ended: named queues and the like can be removed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import conveyor

MADE = {
    "queue": "q = conveyor.connect(URL); q.put_many([1, 2])",
    "topic": "conveyor.connect(URL, kind='topic').publish(1)",
    "dict": "conveyor.SharedDict(name=URL.removeprefix('shm://'))['a'] = 1",
}
SAID = {
    "queue": "with 2 items in it, made in another pid namespace",
    "topic": "it is a topic",
    "dict": "it is a shared dict",
}


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "conveyor", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(params=sorted(MADE))
def made(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The kind, and the URL of one that was made in a pid namespace that has ended."""
    url = f"shm://ended-{os.getpid()}"
    code = f"import conveyor; URL = {url!r}; {MADE[request.param]}"
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    done = subprocess.run([*unshare, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    yield request.param, url
    for left in Path("/dev/shm").glob(f"conveyor.ended-{os.getpid()}*"):
        left.unlink()


def test_it_can_be_removed_by_name(made: tuple[str, str]) -> None:
    kind, url = made
    for asked in (["--dry-run"], [], ["-f"]):
        done = command("rm", url, *asked)
        assert SAID[kind] in done.stderr
        assert done.returncode == (5 if not asked else 0), done.stderr
    assert command("rm", "-f", url).returncode == 3


def test_it_can_be_collected(made: tuple[str, str]) -> None:
    assert command("gc", "--force", made[1]).returncode == 0
    assert not list(Path("/dev/shm").glob(f"conveyor.ended-{os.getpid()}*"))


def test_the_error_says_how(made: tuple[str, str]) -> None:
    kind, url = made
    with pytest.raises(PermissionError, match=f"conveyor rm {url} removes it"):
        if kind == "dict":
            conveyor.SharedDict(name=url.removeprefix("shm://"))
        else:
            conveyor.connect(url, kind=kind, create=False)  # type: ignore[call-overload]
