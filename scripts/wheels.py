"""Makes and tries wheels: `python scripts/wheels.py --versions 3.11 --arches x86_64`, into dist/; as root, on Debian.

Each is built by scripts/wheel_build.py, looked through by scripts/wheel_check.py, and then installed and run by
scripts/wheel_smoke.py in the bare roots that PLACES names, in which there is no compiler. A table closes
the run; the status is 1 if a wheel could not be built, is not portable, or failed in a root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from requirements import requirements
from wheel_build import BUILD, ROOT, build
from wheel_check import faults

VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
ARCHES = ("x86_64", "aarch64")

# Where wheels are tried: a suite of Debian, and whose Python is taken: the suite's own, one compiled for it of the
# source of a later suite (scripts/old_python), or this machine's. No suite has 3.12, nor is one for aarch64 here.
PLACES = {
    "x86_64": {
        "3.11": (("bookworm", "own"), ("bullseye", "compiled")),
        "3.12": (("bookworm", "this machine's"),),
        "3.13": (("trixie", "own"), ("bullseye", "compiled")),
        "3.14": (("sid", "own"), ("bullseye", "compiled")),
        "3.15": (("sid", "own"), ("bullseye", "compiled")),
    },
    "aarch64": {
        "3.11": (("bookworm", "own"),),
        "3.13": (("trixie", "own"),),
        "3.14": (("sid", "own"),),
        "3.15": (("sid", "own"),),
    },
}
# What a bare image takes at most to install the wheel, and run `conveyor demo` and the README's first program.
BARE_SECONDS = float(os.environ.get("CONVEYOR_BARE_SECONDS", "15"))
EMULATED_SECONDS = 900.0


@dataclass
class Row:
    version: str
    arch: str
    wheel: Path | None = None
    seconds: float = 0.0
    tried: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)


class NoSource(Exception):
    """A Python that is to be compiled: the mirror does not give its source."""


def said(*command: str | Path) -> str:
    """The last line of what a command prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 3:
        raise NoSource
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{command[0]} {command[-1]} failed")
    return done.stdout.splitlines()[-1]


def brought_python(version: str, whose: str) -> Path | None:
    """The installation of Python that a root is given; None: it has one."""
    if whose == "compiled":
        return Path(said(ROOT / "scripts/old_python", version))
    if whose == "own":
        return None
    listed = subprocess.run([ROOT / "scripts/pythons"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = dict(line.split(" ", 1) for line in listed.splitlines())
    if version not in found:
        raise RuntimeError(f"this machine has no Python {version}")
    return Path(said(found[version], "-c", "import sys; print(sys.base_prefix)"))


def gathered(wheel: Path, python: Path | None) -> Path:
    """A folder for a root: the wheel, those of the extra `cli`, the README, the program, and a Python."""
    extra = BUILD / "cli"
    if not extra.is_dir():
        options = ["--quiet", "--only-binary", ":all:", "--dest", extra]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, *requirements(["cli"])], check=True
        )
    given = BUILD / "given"
    shutil.rmtree(given, ignore_errors=True)
    shutil.copytree(extra, given / "wheels")
    shutil.copy(wheel, given / "wheels")
    for file in (ROOT / "README.md", ROOT / "scripts/wheel_smoke.py"):
        shutil.copy(file, given)
    if python is not None:
        unneeded = shutil.ignore_patterns("test", "tests", "site-packages", "*.a", "__pycache__")
        shutil.copytree(python, given / "python", symlinks=True, ignore=unneeded)
        pip = next(python.glob("lib/python3*/site-packages/pip"))
        shutil.copytree(
            pip, given / pip.relative_to(python).parent.as_posix().replace("lib", "python/lib", 1) / "pip"
        )
    return given


def try_in(row: Row, wheel: Path, suite: str, whose: str) -> None:
    """Installs and runs the wheel in a root; what happened goes into the row."""
    script = ROOT / "scripts/bare_root"
    where = suite if whose == "own" else f"{suite} with {whose} Python"
    try:
        python = brought_python(row.version, whose)
        subprocess.run([script, "make", suite, row.arch], check=True)
        given = gathered(wheel, python)
    except NoSource:
        row.untried.append(f"not tried in {where}: the mirror does not give its source")
        return
    except (RuntimeError, subprocess.CalledProcessError) as error:
        row.wrong.append(f"not tried in {where}: {error}")
        return
    program = f"/usr/bin/python{row.version}" if python is None else f"/given/python/bin/python{row.version}"
    limit = BARE_SECONDS if row.arch == os.uname().machine else EMULATED_SECONDS
    for last in (False, True):  # once more if it took too long: the machine may have had other work
        done = subprocess.run(
            [script, "run", suite, row.arch, program, "/given/wheel_smoke.py"],
            env={**os.environ, "GIVEN": str(given)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stdout, file=sys.stderr)
            row.wrong.append(f"failed in {where}")
            return
        install, demo, readme = map(float, done.stdout.splitlines()[-1].split())
        total = install + demo + readme
        if total <= limit or last:
            break
    row.tried.append(f"{where}: install {install} + demo {demo} + README {readme} = {total:.1f} s")
    if total > limit:
        row.wrong.append(f"takes {total:.1f} s in {where}, more than {limit:.0f}")


def make(version: str, arch: str, folder: Path, *, tried: bool) -> Row:
    row = Row(version, arch)
    started = time.monotonic()
    try:
        row.wheel = build(arch, version, Path(said(ROOT / "scripts/python_headers", version)), folder)
    except (RuntimeError, SystemExit) as error:
        print(error, file=sys.stderr)
        row.wrong.append("not built")
        return row
    row.seconds = time.monotonic() - started
    row.wrong += faults(row.wheel)
    for suite, whose in PLACES[arch].get(version, ()) if tried else ():
        try_in(row, row.wheel, suite, whose)
    return row


def show(rows: list[Row]) -> None:
    print(f"\n{'wheel':<86} {'MB':>5} {'built in':>8}  tried")
    for row in rows:
        name = row.wheel.name if row.wheel else f"{row.version} {row.arch}"
        size = f"{row.wheel.stat().st_size / 1e6:.2f}" if row.wheel else "-"
        print(f"{name:<86} {size:>5} {row.seconds:>6.0f} s  {'; '.join(row.tried) or 'nowhere'}")
        for remark in row.untried:
            print(f"  {remark}")
        for fault in row.wrong:
            print(f"  WRONG: {fault}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--versions", nargs="*", default=[])
    parser.add_argument("--arches", nargs="*", default=[])
    parser.add_argument("--folder", type=Path, default=ROOT / "dist")
    parser.add_argument("--untried", action="store_true", help="build and look through, but run in no root")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for arch in given.arches or ARCHES:
        for version in given.versions or VERSIONS:
            rows.append(make(version, arch, given.folder, tried=not given.untried))
            print(f"conveyor: {version} {arch}: {', '.join(rows[-1].wrong) or 'well'}", flush=True)
    show(rows)
    sys.exit(any(row.wrong for row in rows))


if __name__ == "__main__":
    main()
