"""Each example runs as a user runs it, and finds what a plain loop finds (`--check` compares)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, check=False, cwd=cwd
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("stdlib_tokens.py",), "One plain loop counts the same"),
        (("logs.py", "--size", "20"), "one plain loop counted the same"),
        (("images.py", "--count", "8"), "one plain loop makes the same"),
        (("fetch.py", "--count", "80"), "one by one gives the same"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_it_finds_what_a_plain_loop_finds(words: tuple[str, ...], says: str) -> None:
    done = run(str(EXAMPLES / words[0]), *words[1:], "--check")
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert "Traceback" not in done.stderr


def test_what_the_fetching_one_says_of_failures() -> None:
    done = run(str(EXAMPLES / "fetch.py"), "--count", "40")
    assert "40 pages in " in done.stdout
    assert "4 of them tried again" not in done.stdout  # those that are not there are tried again, too
    assert "6 of them tried again" in done.stdout
    assert "/page/13 has status 404" in done.stdout


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_conveyor_run(method: str, tmp_path: Path) -> None:
    """As in the documents, with a pipeline that a file of the user's makes of an example's."""
    (tmp_path / "small.py").write_text(
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from pathlib import Path\n"
        "import images, logs\n"
        "images_of_mine = images.pipeline(4)\n"
        "logs.write_log(Path('access.log'), 1.0)\n"
        "log_of_mine = logs.pipeline(Path('access.log'))\n"
    )
    for name, taken in (("images_of_mine", 4), ("log_of_mine", None)):
        done = run(
            "-m",
            "conveyor",
            "run",
            f"small.py:{name}",
            "-j",
            "2",
            "--json",
            "--start-method",
            method,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["failures"] == report["in_flight"] == 0
        if taken is None:
            taken = (tmp_path / "access.log").read_bytes().count(b"\n")
        assert report["taken"] == taken


@pytest.mark.parametrize("target", ["logs.py:pipeline", "images.py:pipeline", "stdlib_tokens.py:pipeline"])
def test_conveyor_run_describes(target: str, tmp_path: Path) -> None:
    words = ["-m", "conveyor", "run", f"examples/{target}", "--describe"]
    if target.startswith("logs"):  # its log is made when it is not there: not here
        words = [
            "-c",
            f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
            "import logs; print(logs.Pipeline([1]).map(logs.count))",
        ]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "→" in done.stdout
