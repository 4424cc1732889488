"""How many processors there are: by the control group, the affinity, and what the user says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conveyor import _processors
from conveyor._processors import processors, quota

HERE = len(os.sched_getaffinity(0))
CPU_GROUPS = Path("/sys/fs/cgroup/cpu")
SHOW = "from conveyor._processors import processors; print(processors())"


def tree(root: Path, lines: str, files: dict[str, str]) -> tuple[Path, Path]:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(lines)
    for name, text in files.items():
        path = root / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "groups"


def version_1(folder: str, limit: int, period: int) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": str(limit), f"{folder}/cpu.cfs_period_us": str(period)}


@pytest.mark.parametrize(
    ("lines", "files", "limit"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/box\n", {"box/cpu.max": "200000 100000\n"}, 2),
        # The tightest of the groups above counts, wherever it is.
        ("0::/a/b/c\n", {"a/cpu.max": "50000 100000\n", "a/b/c/cpu.max": "300000 100000\n"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "max 100000\n", "a/b/cpu.max": "10000 20000\n"}, 0.5),
        # In a container without a namespace of its own, the path is the host's, and the group is the root.
        ("0::/docker/0123\n", {"cpu.max": "100000 100000\n"}, 1),
        # A process outside of the namespace's root.
        ("0::/../../other\n", {"cpu.max": "100000 100000\n"}, 1),
        ("4:cpu,cpuacct:/box\n", version_1("cpu,cpuacct/box", 250_000, 100_000), 2.5),
        ("4:cpu:/\n", version_1("cpu", -1, 100_000), None),
        ("4:cpuset:/\n3:cpu,cpuacct:/a/b\n", version_1("cpu/a", 100_000, 50_000), 2),
        # Both versions at once: version 2 has other controllers, or this one.
        ("4:memory:/\n0::/x\n", {"unified/x/cpu.max": "100000 100000"}, 1),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("", {}, None),
    ],
)
def test_the_quota_of_control_groups(
    lines: str, files: dict[str, str], limit: float | None, tmp_path: Path
) -> None:
    assert quota(*tree(tmp_path, lines, files)) == limit


@pytest.mark.parametrize(("most", "count"), [("1000 100000", 1), ("100000 100000", 1), ("110000 100000", 2)])
def test_a_part_of_a_processor_counts_as_one(
    most: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert processors(*tree(tmp_path, "0::/\n", {"cpu.max": most})) == count


def test_never_more_than_the_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    assert processors(*tree(tmp_path, "0::/\n", {"cpu.max": "99900000 100000"})) == HERE
    assert processors(tmp_path / "nowhere", tmp_path / "nowhere") == HERE


@pytest.mark.parametrize(
    ("options", "variable", "count"),
    [
        ([], "7", 7),
        (["-X", "cpu_count=5"], "7", 5),
        (["-X", "cpu_count=default"], "7", 7),
        ([], "default", HERE),
        ([], "nonsense", HERE),
    ],
)
def test_what_the_user_says_counts(options: list[str], variable: str, count: int) -> None:
    if variable == "nonsense" and sys.version_info >= (3, 13):
        return  # this interpreter itself does not start then
    done = subprocess.run(
        [sys.executable, *options, "-c", SHOW],
        env={**os.environ, "PYTHON_CPU_COUNT": variable},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == count


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group within another, both the test's own."""
    if (
        not os.access(CPU_GROUPS / "cgroup.procs", os.W_OK)
        or not (CPU_GROUPS / "cpu.cfs_quota_us").parent.exists()
    ):
        pytest.skip(
            "control groups of version 1 with the cpu controller cannot be made here: that needs root"
        )
    outer = CPU_GROUPS / f"conveyor-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        yield inner
    finally:
        inner.rmdir()
        outer.rmdir()


@pytest.mark.skipif(HERE < 2, reason="one processor is the least, with and without a quota")
@pytest.mark.parametrize(("outer", "inner"), [("-1", "50000"), ("100000", "-1"), ("100000", "90000")])
def test_in_a_real_control_group(group: Path, outer: str, inner: str) -> None:
    (group.parent / "cpu.cfs_quota_us").write_text(outer)
    (group / "cpu.cfs_quota_us").write_text(inner)
    enter = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')"
    code = f"{enter}; {SHOW}; from conveyor._processors import quota; print(quota())"
    environment = {word: text for word, text in os.environ.items() if word != "PYTHON_CPU_COUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    count, limit = done.stdout.split()
    assert (int(count), float(limit)) == (
        1,
        min(int(word) for word in (outer, inner) if word != "-1") / 100_000,
    )


def test_the_quota_is_read_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic() + 100]
    monkeypatch.setattr(_processors.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    found = []
    for seconds, limit in ((0.0, 1.0), (0.9, None), (0.2, None)):
        now[0] += seconds
        monkeypatch.setattr(_processors, "quota", lambda limit=limit: limit)
        found.append(_processors.processors())
    assert found == [1, 1, HERE]
    monkeypatch.setattr(_processors, "_kept", (float("-inf"), None))


def test_a_run_and_the_command_go_by_it() -> None:
    code = (
        "import conveyor; from conveyor.cli.jobs import count_jobs; from conveyor.pipeline import PipelineRun; "
        "print(PipelineRun(conveyor.Pipeline([1])).jobs, count_jobs('50%'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHON_CPU_COUNT": "6"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["6", "3"]
