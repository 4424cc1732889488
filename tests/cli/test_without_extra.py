"""Without the extra `cli`, without any package at all: what works all the same, and what says that it needs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import conveyor

ROOT = Path(__file__).parents[2]
ADVICE = "the command line needs cyclopts and rich, not installed here: pip install 'conveyor[cli]'\n"


@pytest.fixture
def alone(tmp_path: Path) -> list[str]:
    """A Python whose one package is conveyor: no site-packages (`-S`), and a folder that has nothing else."""
    (tmp_path / "conveyor").symlink_to(Path(conveyor.__file__).parent)
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    return [sys.executable, "-S", "-E", "-c", start]


def run(alone: list[str], program: str) -> subprocess.CompletedProcess[str]:
    *command, start = alone
    return subprocess.run(
        [*command, start + program], capture_output=True, text=True, timeout=150, check=False
    )


def test_nothing_is_required() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"] == []


@pytest.mark.parametrize("words", [[], ["demo"], ["--help"], ["no-such-verb"]], ids=str)
def test_the_command_says_what_to_install(alone: list[str], words: list[str]) -> None:
    done = run(alone, f"from conveyor.cli.app import main; sys.exit(main({words!r}))")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"conveyor: {ADVICE}")


def test_the_benchmark_says_what_to_install(alone: list[str]) -> None:
    done = run(alone, "import runpy; runpy.run_module('conveyor.bench', run_name='__main__')")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"conveyor.bench: {ADVICE}")


def test_progress_is_plain_lines(alone: list[str]) -> None:
    program = "import conveyor; print(sorted(conveyor.Pipeline(range(5)).map(abs).to(list).run(progress=True).result))"
    done = run(alone, program)
    assert (done.returncode, done.stdout) == (0, "[0, 1, 2, 3, 4]\n"), done.stderr
    assert "Traceback" not in done.stderr


def test_the_drop_in_works(alone: list[str]) -> None:
    program = """
import conveyor.multiprocessing as multiprocessing
context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=queue.put, args=({"a": 1},))
process.start()
print(queue.get(timeout=30))
process.join()
loaded = {name.split(".")[0] for name in sys.modules}
print(sorted(loaded - sys.stdlib_module_names - {"conveyor", "_xxsubinterpreters", "__main__", "__mp_main__"}))
"""
    done = run(alone, program.lstrip())
    assert (done.returncode, done.stdout) == (0, "{'a': 1}\n[]\n"), done.stderr
