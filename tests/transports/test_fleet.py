"""examples/fleet.py: three replicas of a pipeline, each on a machine of its own, one of which is killed."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import conveyor
from servers.namespaces import Machine, Network
from servers.registry import shared

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet.py"


def run(*words: str) -> str:
    argv = [sys.executable, str(EXAMPLE), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(said: str, count: int) -> None:
    assert re.search(rf"^{count:,} numbers in .* s: 0 lost, \d+ done twice, 0 wrong$", said, re.MULTILINE), (
        said
    )
    assert said.count("killed with its workers") == 1, said
    by_whom = [int(text.replace(",", "")) for text in re.findall(r"replica \d: ([\d,]+) results", said)]
    assert len(by_whom) == 3
    assert sum(by_whom) >= count


def test_over_a_file() -> None:
    check(run("--count", "1500"), 1500)


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_on_three_machines(kind: str) -> None:
    url = shared(kind).url(f"fleet-{uuid.uuid4().hex}")
    if kind == "redis":
        url += ("&" if "?" in url else "?") + "keep_alive=2"
    with contextlib.ExitStack() as stack:
        within: list[str] = []
        if Network.refusal() is None:
            for _ in range(3):
                machine = Machine()
                stack.callback(machine.close)
                machine.open()
                machine.forward(shared(kind).port)
                within += ["--within", f"ip netns exec {machine.name}"]
        where, mark, options = url.partition("?")
        for each in (url, f"{where}-results{mark}{options}"):
            stack.callback(forget, each)
        check(run("--url", url, "--count", "1000", *within), 1000)


def forget(url: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)
