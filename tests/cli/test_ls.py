"""`conveyor ls`: what there is in shared memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest

import conveyor
from conveyor.cli.app import main


def test_named_ones_and_those_that_have_no_name(capfd: pytest.CaptureFixture[str]) -> None:
    url = f"shm://test-ls-{uuid.uuid4().hex}"
    named, topic = conveyor.connect(url), conveyor.connect(f"{url}-topic", kind="topic")
    nameless: Any = conveyor.Queue(label="frames")
    try:
        named.put_many(range(1234))
        assert main(["ls", "--json"]) == 0
        rows = {row["title"]: row for row in map(json.loads, capfd.readouterr().out.splitlines())}
        assert rows[url]["kind"] == "queue"
        assert rows[url]["items"] == 1234
        assert rows[url]["memory"] > 0
        assert rows[url]["users"] == [os.getpid()]
        assert rows[f"{url}-topic"]["kind"] == "topic"
        assert rows["frames"]["url"] is None
        named.shutdown()
        assert main(["ls"]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert lines[0].split() == ["name", "kind", "items", "memory", "users"]
        [line] = [line for line in lines if line.startswith(f"{url} ")]
        assert line.split()[1:3] == ["queue", "1,234"]
        assert line.endswith("ended")
    finally:
        named.close()
        del topic, nameless
        conveyor.remove(url)
        conveyor.remove(f"{url}-topic")


def test_it_costs_little() -> None:
    """Nothing heavy is imported for it."""
    program = "import sys; from conveyor.cli.app import main; main(['ls']); print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert not loaded & {"rich.table", "multiprocessing", "numpy"}
