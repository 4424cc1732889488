"""`conveyor info` and `conveyor rm` with the URL of any transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor.cli.app import main

pytestmark = pytest.mark.needs("processes")


def test_a_queue(make: Callable[..., Any], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    make().put_many(["a", "b", "c"])
    assert main(["info", url]) == 0
    shown = capsys.readouterr().out
    assert any(line.split() == ["depth", "3"] for line in shown.splitlines()), shown
    assert "None" not in shown
    assert main(["info", "--json", url]) == 0
    assert json.loads(capsys.readouterr().out)["depth"] == 3
    assert main(["rm", "--dry-run", url]) == 0
    assert main(["rm", "-f", url]) == 0
    assert "with 3 items" in capsys.readouterr().err
    assert main(["info", url]) != 0
    assert "no queue" in capsys.readouterr().err


@pytest.mark.needs("topics")
def test_a_topic(transport: Transport, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with transport.fresh(tmp_path, "topic") as url:
        topic = conveyor.connect(url, kind="topic")
        topic.publish("event")
        for form in ([], ["--json"]):
            assert main(["info", *form, url]) == 0
            assert "None" not in capsys.readouterr().out
        del topic
        assert main(["rm", "-f", url]) == 0
        assert "removed the topic" in capsys.readouterr().err
