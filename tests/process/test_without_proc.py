"""Everything works where no /proc is mounted (chroots, small containers); what cannot says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import METHODS

PROGRAM = Path(__file__).with_name("without_proc.py")
MOUNT = "mount -t tmpfs none /dev/shm && mount -t tmpfs none /proc"
NO_FOLDER = "for each in /dev/shm /tmp /var/tmp; do mount -t tmpfs -o ro none $each || exit; done"


def without_proc(*words: str, and_then: str = "true") -> subprocess.CompletedProcess[str]:
    script = f'{MOUNT} && {and_then} && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def may_mount() -> None:
    done = subprocess.run(["unshare", "--mount", "sh", "-c", MOUNT], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"unshare --mount: {done.stderr.decode()}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("part", ["arguments", "through_a_queue", "pools", "pipelines"])
def test_between_processes(part: str, method: str) -> None:
    done = without_proc(part, method)
    assert done.stdout.endswith("done\n"), done.stderr


@pytest.mark.parametrize("part", ["queues", "coroutines", "named", "topics", "deaths", "gone"])
def test_in_one_process(part: str) -> None:
    done = without_proc(part)
    assert done.stdout == "done\n", done.stderr


def test_what_cannot_be_says_why() -> None:
    done = without_proc("nowhere", and_then=NO_FOLDER)
    assert done.stdout == "done\n", done.stderr
