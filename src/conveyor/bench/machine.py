"""Where a run was made: what a reader needs to know before comparing it with another."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .._processors import processors

__all__ = ["Machine", "describe", "package_version"]


@dataclass(frozen=True)
class Machine:
    """Hardware, system and versions; sizes in bytes, load as the kernel's 1-minute average."""

    cpu: str
    cores: int
    """Cores that this process may use, which in a container may be fewer than there are."""
    cores_present: int
    memory_bytes: int
    virtual: bool
    governor: str
    kernel: str
    python: str
    packages: dict[str, str]
    commit: str
    """Of the checkout that conveyor was imported from, with "+" when files differ from it; else empty."""
    load_before: float


def package_version(distribution: str) -> str:
    """The version installed, or an empty string."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _first_value(path: str, key: str) -> str:
    """The value of the first line "key : value" of a file of /proc, or an empty string."""
    try:
        text = Path(path).read_text()
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def _commit() -> str:
    """The commit of conveyor's own checkout, not of one that merely holds the virtual environment."""
    folder = Path(__file__).resolve().parent
    top = Path(_git(folder, "rev-parse", "--show-toplevel") or "/")
    project = top / "pyproject.toml"
    if not project.is_file() or 'name = "conveyor"' not in project.read_text():
        return ""
    commit = _git(top, "rev-parse", "--short=12", "HEAD")
    return f"{commit}+" if commit and _git(top, "status", "--porcelain") else commit


def describe(distributions: list[str]) -> Machine:
    """This machine, now; the versions are those of the distributions named."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    memory = _first_value("/proc/meminfo", "MemTotal").split()
    return Machine(
        cpu=_first_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        cores=processors(),
        cores_present=os.cpu_count() or 1,
        memory_bytes=int(memory[0]) * 1024 if memory else 0,
        virtual="hypervisor" in _first_value("/proc/cpuinfo", "flags").split(),
        governor=governor.read_text().strip() if governor.is_file() else "",
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"CPython {platform.python_version()} ({platform.python_compiler()})",
        packages={name: package_version(name) for name in distributions},
        commit=_commit(),
        load_before=os.getloadavg()[0],
    )
