"""Under `ulimit -f` (RLIMIT_FSIZE) too small for a queue: the error names it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

MAKERS = {
    "queue": "conveyor.Queue()",
    "simple queue": "conveyor.SimpleQueue()",
    "pipe": "conveyor.Pipe()[0].send(1)",  # its memory is made then
    "dict": "conveyor.SharedDict()",
    "list": "conveyor.SharedList()",
    "array": "conveyor.SharedArray((1 << 20,), 'u1')",
    "lock": "conveyor.Lock()",
    "topic": "conveyor.Topic()",
    "named": "conveyor.connect('shm://file-size-limit', create=True)",
}


@pytest.mark.parametrize("default", [False, True], ids=["ignored", "default"])
@pytest.mark.parametrize("kind", MAKERS)
def test_the_error_names_the_limit(kind: str, default: bool) -> None:
    program = f"""
import conveyor, signal
if {default}:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it otherwise
try:
    {MAKERS[kind]}
except conveyor.OutOfMemory as error:
    print(error)
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert "ulimit -f" in done.stdout, (done.returncode, done.stdout, done.stderr)
