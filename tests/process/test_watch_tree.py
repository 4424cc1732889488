"""examples/watch_tree.py, in its demonstration and on a tree of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from helpers import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "watch_tree.py"


def test_the_demonstration_tells_what_happened() -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    lines = done.stdout.splitlines()
    removed = [line.rpartition("/")[2] for line in lines if line.startswith("removed")]
    assert removed[:6] == [f"note-{number}.txt" for number in range(6)]
    # A file that moved away before its new folder was watched was never seen there.
    assert removed[6:] in ([], ["data-0.bin"])
    # 20 notes less five, and ten files of data.
    assert lines[-2].startswith("25 files of 45,900 bytes")
    assert "missed: 0" in lines[-1]
    assert "removed.txt: 6" in lines[-1]


def test_a_tree_is_watched_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "before.txt").write_text("x" * 10)
    with subprocess.Popen(
        [sys.executable, EXAMPLE, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None

        def watched() -> bool:
            (tmp_path / "probe").touch()
            (tmp_path / "probe").unlink()
            return os.read(process.stdout.fileno(), 1000).startswith(b"removed")  # type: ignore[union-attr]

        # The first removal that is told of: from then on all is told.
        os.set_blocking(process.stdout.fileno(), False)

        def told() -> bool:
            try:
                return watched()
            except BlockingIOError:
                return False

        until(told, "it watches")
        os.set_blocking(process.stdout.fileno(), True)
        (tmp_path / "after.txt").write_text("y" * 20)
        (tmp_path / "gone.txt").write_text("z")
        (tmp_path / "gone.txt").unlink()
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert not error
    assert "removals" in out
