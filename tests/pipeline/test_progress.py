"""What a run shows while it lasts: on a terminal, in a log, to tqdm, to a function, in a notebook."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tqdm
from stages import fail_on_seven, same, slow_item

from conveyor import Pipeline
from conveyor.pipeline.progress.progress import Progress

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


class TestTerminal:
    def test_a_line_for_each_stage_redrawn_in_place(self) -> None:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, __file__],
            stdout=subprocess.PIPE,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        )
        os.close(slave)
        shown = b""
        try:
            while more := os.read(master, 65536):
                shown += more
        except OSError:  # the terminal's last process has gone
            pass
        out, _ = process.communicate()
        os.close(master)
        assert process.returncode == 0
        assert out == b"199\n"
        text = shown.decode()
        assert "\x1b[2K" in text  # redrawn
        for part in ("source", "mine", "last", "2 workers", "in flight", "1 failed", "━", "%"):
            assert part in text, part
        assert "mine: item 7 failed: KeyError: 'seven'" in text
        assert "shown: 200 items in " in text


class TestPlain:
    def test_lines_without_codes(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        monkeypatch.setattr("conveyor.pipeline.progress.lines._LINE_SECONDS", 0.05)
        Pipeline(range(60)).map(slow_item, workers=2).map(same, workers=1).run(progress=True)
        said = capsys.readouterr().err.splitlines()
        assert any("of 60 taken" in line and "in flight" in line and "slow_item" in line for line in said)
        assert said[-1].startswith("pipeline: 60 items in ")
        assert "\x1b" not in "".join(said)

    def test_failures_have_lines_of_their_own_until_there_are_too_many(self, capsys: Any) -> None:
        Pipeline([7] * 50).map(fail_on_seven, workers=1, on_error="skip").run(progress=True)
        said = capsys.readouterr().err
        assert said.count("KeyError") == 20
        assert "further ones are only counted" in said

    def test_the_end_of_a_run_that_fails(self, capsys: Any) -> None:
        with pytest.raises(KeyError):
            Pipeline([7]).map(fail_on_seven, workers=1).run(progress=True)
        assert "stopped by KeyError after 1 item" in capsys.readouterr().err


class TestOthers:
    @pytest.mark.parametrize("method", METHODS)
    def test_tqdm(self, method: Any) -> None:
        written = io.StringIO()
        with tqdm.tqdm(file=written, mininterval=0) as bar:
            Pipeline(range(500)).map(same, workers=2).run(progress=bar, start_method=method)
            assert (bar.n, bar.total) == (500, 500)
        assert "500/500" in written.getvalue()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_function(self, workers: int) -> None:
        told: list[Progress] = []
        Pipeline(range(60)).map(slow_item, workers=workers).run(progress=told.append)
        assert [progress.taken for progress in told] == sorted(progress.taken for progress in told)
        last = told[-1]
        assert (last.taken, last.total, last.results, last.in_flight, last.failures) == (60, 60, 60, 0, 0)
        assert [stage.name for stage in last.stages] == ["source", "slow_item", "results"]
        assert len(told) > 2
        assert any(progress.in_flight for progress in told)

    def test_an_unknown_total(self) -> None:
        told: list[Progress] = []
        Pipeline(iter(range(60))).map(same, workers=1).run(progress=told.append)
        assert told[-1].total is None

    def test_a_function_that_raises_ends_the_run(self) -> None:
        def refuse(progress: Progress) -> None:
            raise RuntimeError("no more")

        with pytest.raises(RuntimeError, match="no more"):
            Pipeline(range(60)).map(slow_item, workers=1).run(progress=refuse)

    def test_what_cannot_be_told(self) -> None:
        with pytest.raises(TypeError, match="progress is 3; it must be True"):
            Pipeline([1]).map(same, workers=1).run(progress=3)

    def test_a_notebooks_streams(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As ipykernel has them: no descriptor, no terminal."""

        class OutStream(io.TextIOBase):
            encoding = "UTF-8"
            text = ""

            def write(self, text: str) -> int:
                self.text += text
                return len(text)

            def fileno(self) -> int:
                raise io.UnsupportedOperation("fileno")

            def isatty(self) -> bool:
                return False

        out, err = OutStream(), OutStream()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        for method in METHODS:
            Pipeline(range(30)).map(same, workers=2).to(print).run(progress=True, start_method=method)
        assert err.text.count("pipeline: 30 items in ") == 3
        assert out.text.count("\n") == 90

    def test_no_streams_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As under pythonw, or a daemon."""
        monkeypatch.setattr(sys, "stdout", None)
        monkeypatch.setattr(sys, "stderr", None)
        assert Pipeline(range(30)).map(same, workers=2).run(progress=True).results == 30


def main() -> None:
    stages = Pipeline(range(200), name="shown").map(fail_on_seven, workers=2, on_error="skip", name="mine")
    report = stages.map(slow_item, workers=2, name="last").to(Path(os.devnull)).run(progress=True)
    print(report.results)


if __name__ == "__main__":
    main()
