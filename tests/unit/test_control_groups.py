"""What the control groups of this process allow it, of both versions: made up, and real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conveyor._control_groups import ControlGroup, MemoryLimit, control_groups

MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
MIB = 2**20


def made_up(root: Path, lines: str, folders: list[str]) -> tuple[Path, Path]:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(lines)
    for folder in folders:
        (root / "groups" / folder).mkdir(parents=True)
    return root / "proc", root / "groups"


@pytest.mark.parametrize(
    ("lines", "folders", "found"),
    [
        ("0::/a/b\n", ["a/b"], [(2, "a/b"), (2, "a"), (2, ".")]),
        # The path is the host's, and the container's own group is mounted at the root.
        ("0::/docker/0123\n", ["cpu.pressure"], [(2, ".")]),
        ("0::/../other\n", ["other"], [(2, "other"), (2, ".")]),
        ("4:cpu,memory:/box\n2:cpuset:/\n", ["memory/box"], [(1, "memory/box"), (1, "memory")]),
        (
            "4:memory:/x\n0::/y\n",
            ["memory/x", "unified/y"],
            ["memory/x", "memory", ".", "unified/y", "unified"],
        ),
        ("4:cpu:/\n", ["cpu"], []),
        ("", [], []),
    ],
)
def test_the_groups_of_this_process(
    lines: str, folders: list[str], found: list[tuple[int, str]] | list[str], tmp_path: Path
) -> None:
    proc, groups = made_up(tmp_path, lines, folders)
    seen = [
        (each.version, str(each.folder.relative_to(groups)))
        for each in control_groups("memory", proc, groups)
    ]
    assert seen == found or [folder for _, folder in seen] == found


def test_what_cannot_be_read_is_no_limit(tmp_path: Path) -> None:
    for version in (1, 2):
        group = ControlGroup(version, tmp_path)  # type: ignore[arg-type]
        assert (group.processors(), group.memory(), group.memory_kills()) == (None, None, None)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("nonsense\n")
    (tmp_path / "memory.events").write_text("oom 3\n")
    (tmp_path / "cpu.max").write_text("1 0\n")
    group = ControlGroup(2, tmp_path)
    assert (group.processors(), group.memory(), group.memory_kills()) == (None, None, None)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group within another that has a limit of 256 MiB, both the test's own."""
    if not os.access(MEMORY_GROUPS / "cgroup.procs", os.W_OK):
        pytest.skip("control groups of version 1 with memory cannot be made here: that needs root")
    outer = MEMORY_GROUPS / f"conveyor-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        (outer / "memory.limit_in_bytes").write_text(str(256 * MIB))
        yield inner
    finally:
        inner.rmdir()
        outer.rmdir()


def test_in_a_real_control_group(group: Path) -> None:
    """What a share of the memory means, and what `conveyor doctor` shows, goes by the groups around, too."""
    code = (
        f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
        "from conveyor.inspection.system import tightest_memory_limit\n"
        "from conveyor.pipeline.base.byte_size import bytes_of\n"
        "print(bytes_of('50%'), *tightest_memory_limit())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    half, limit, used = map(int, done.stdout.split())
    assert (half, limit) == (128 * MIB, 256 * MIB)
    assert 0 < used < limit
    assert MemoryLimit(limit, used).left == limit - used
