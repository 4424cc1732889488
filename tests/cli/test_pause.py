"""`conveyor pause` and `resume`."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

import conveyor
from conveyor import Empty
from conveyor.cli.app import main


def test_consumers_are_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    url = f"shm://test-pause-{uuid.uuid4().hex}"
    queue = conveyor.connect(url)
    try:
        queue.put(1)
        assert main(["pause", url]) == 0
        assert "paused" in capfd.readouterr().err
        with pytest.raises(Empty):
            queue.get(timeout=0)
        assert main(["info", "--json", url]) == 0
        assert json.loads(capfd.readouterr().out)["paused"] is True
        assert main(["info", url]) == 0
        assert "  paused\n" in capfd.readouterr().out
        assert main(["peek", url]) == 0
        assert main(["resume", url]) == 0
        assert queue.get(timeout=10) == 1
        capfd.readouterr()
        assert main(["info", url]) == 0
        assert "paused" not in capfd.readouterr().out.replace(url, "")
    finally:
        queue.close()
        conveyor.remove(url)


def test_consumers_of_a_file_are_held_back(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db?queue=jobs"
    queue = conveyor.connect(url)
    queue.put(1)
    assert main(["pause", url]) == 0
    assert main(["info", "--json", url]) == 0
    assert json.loads(capfd.readouterr().out)["paused"] is True
    assert main(["get", "--timeout", "0", url]) == 4
    assert main(["resume", url]) == 0
    assert queue.get(timeout=10) == 1
    queue.close()
