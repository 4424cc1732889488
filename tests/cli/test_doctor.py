"""`conveyor doctor` and `conveyor gc`, as they are typed."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor


@pytest.fixture
def url() -> Iterator[str]:
    url = f"shm://test-{os.getpid()}-{uuid.uuid4().hex}"
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


def findings(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


class TestDoctor:
    def test_plain_lines(self, run: Any, url: str) -> None:
        queue = conveyor.connect(url)
        queue.put(1)
        done = run("doctor", url)
        assert done.err == ""
        assert "ok       memfd_create: works" in done.lines
        assert done.lines[-1].startswith(f"ok       {url}: 1 item, ")
        assert f"in use by process {os.getpid()} (" in done.lines[-1]

    def test_json_and_exit_code(self, run: Any, url: str) -> None:
        conveyor.connect(url)
        done = run("doctor", "--json", url)
        *system, queue = findings(done.out)
        assert {each["about"] for each in system} == {"system"}
        assert (queue["about"], queue["subject"], queue["level"]) == ("queue", url, "problem")
        assert queue["advice"] == "conveyor gc"
        assert queue["facts"]["items"] == 0
        assert done.code == 1
        assert run("gc", url).code == 0
        bad = [each for each in system if each["level"] == "problem"]
        done = run("doctor", "--json")
        others = [
            each for each in findings(done.out) if each["about"] == "queue" and each["level"] == "problem"
        ]
        assert done.code == (1 if bad or others else 0)

    def test_a_table_on_a_terminal(self, start: Any, url: str) -> None:
        conveyor.connect(url)
        running = start("doctor", url, terminal="stdout stderr", env={"COLUMNS": "200"})
        out = running.finish().out
        assert "examined" in out
        assert "leaked: nobody alive uses it" in out
        assert "conveyor gc" in out
        assert "\x1b[" in out

    def test_no_colour_when_not_wanted(self, start: Any, url: str) -> None:
        conveyor.connect(url)
        running = start("doctor", url, terminal="stdout stderr", env={"NO_COLOR": "1"})
        assert "\x1b[3" not in running.finish().out

    @pytest.mark.parametrize("verb", ["doctor", "gc"])
    def test_usage(self, run: Any, url: str, verb: str) -> None:
        assert run(verb, "--nonsense").code == 2
        assert run(verb, "ftp://x").code == 2
        assert run(verb, "shm://a/b").code == 2
        missing = run(verb, url)
        assert missing.code == 3
        assert f"there is no queue at {url}" in missing.err

    @pytest.mark.parametrize("verb", ["doctor", "gc"])
    def test_help_opens_with_an_example(self, run: Any, verb: str) -> None:
        done = run(verb, "--help", env={"COLUMNS": "80"})
        assert "Example" in done.out[:90]
        assert max(map(len, done.lines)) <= 80


class TestGc:
    def test_removes_and_says_how_much(self, run: Any, url: str) -> None:
        queue = conveyor.connect(url)
        queue.put(b"x" * 3_000_000)
        assert run("gc", url).lines == [f"kept {url}: in use", "removed 0 queues, gave back 0 bytes"]
        del queue
        refused = run("gc", url)
        assert refused.code == 5
        assert refused.lines[0].startswith(f"refused {url}: 1 item in it (3.0 MiB)")
        would = run("gc", "--dry-run", "--force", url)
        assert would.code == 0
        assert would.lines[-1] == "would remove 1 queue, 3.0 MiB"
        done = run("gc", "--force", url)
        assert done.code == 0
        assert done.lines == [
            f"removed {url}: 1 item in it (3.0 MiB)",
            "removed 1 queue, gave back 3.0 MiB",
        ]
        with pytest.raises(FileNotFoundError):
            conveyor.connect(url, create=False)

    def test_json(self, run: Any, url: str) -> None:
        conveyor.connect(url).put_many([1, 2])
        [told] = findings(run("gc", "--json", url).out)
        assert told["memory"] > 0
        assert (told["url"], told["outcome"], told["items"]) == (url, "refused", 2)
        [told] = findings(run("gc", "--json", "-f", url).out)
        assert told["outcome"] == "removed"

    def test_rm_of_what_is_no_queue(self, run: Any, url: str) -> None:
        path = Path("/dev/shm") / f"conveyor.{url.removeprefix('shm://')}"
        path.mkdir()
        try:
            done = run("rm", "-f", url)
            assert done.code == 1
            assert "not removed" in done.err
            assert run("doctor", url).code == 1
        finally:
            path.rmdir()
