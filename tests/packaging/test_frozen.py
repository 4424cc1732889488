"""Programs frozen by PyInstaller: they run, their children are children, and nothing is missing in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from conveyor._pyinstaller import hook_dirs

pytest.importorskip("PyInstaller")
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

PROGRAM = Path(__file__).with_name("frozen_program.py")
SECONDS = 120  # a program that starts itself without end is ended after that


def run_frozen(program: Path) -> tuple[int, str, str]:
    """In a session of its own: all that it has started goes with it."""
    process = subprocess.Popen(
        [program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize("way", ["--onedir", "--onefile"])
def test_a_frozen_program_runs(way: str, tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "PyInstaller", way, "--noconfirm", "--log-level", "ERROR", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    program = tmp_path / "dist" / "frozen_program"
    code, out, err = run_frozen(program / "frozen_program" if way == "--onedir" else program)
    assert code == 0, err
    assert out.split() == ["fork", "spawn", "forkserver", "done"]


def test_the_hook_is_found() -> None:
    [entry] = [point for point in entry_points(group="pyinstaller40") if point.value.startswith("conveyor.")]
    assert entry.name == "hook-dirs"
    assert entry.load() is hook_dirs
    [folder] = hook_dirs()
    assert (Path(folder) / "hook-conveyor.py").is_file()
