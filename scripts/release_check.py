"""Whether a tag may be released: `python scripts/release_check.py [vX.Y.Z]`; without one, the tag that this commit has.

First what costs nothing: the tag is this commit's and nothing is uncommitted, pyproject.toml has its version, and
CHANGELOG.md has a section of that version with a date that has come, and nothing left in [Unreleased]. Then `make
check`, `make test`, `make test-all`, `make test-aarch64` and `make wheels`, which take hours. It stops at the first
that fails.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("check", "test", "test-all", "test-aarch64", "wheels")


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def changelog_faults(text: str, version: str, today: datetime.date) -> Iterator[str]:
    """What is wrong with CHANGELOG.md for a release of `version`."""
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    titles = {section.partition("\n")[0].strip(): section.partition("\n")[2] for section in sections}
    if titles.get("[Unreleased]", "").strip():
        yield f"CHANGELOG.md: what is under [Unreleased] belongs under [{version}] now"
    [title] = [each for each in titles if each.startswith(f"[{version}]")] or [""]
    match = re.fullmatch(r"\[[^]]+\] - (\d{4}-\d{2}-\d{2})", title)
    if match is None:
        yield f"CHANGELOG.md: there is no section '## [{version}] - {today.isoformat()}', with a date"
        return
    try:
        date = datetime.date.fromisoformat(match[1])
    except ValueError:
        yield f"CHANGELOG.md: {match[1]} is no date"
        return
    if date > today:
        yield f"CHANGELOG.md: {match[1]} has not come yet"
    if not titles[title].strip():
        yield f"CHANGELOG.md: nothing is said of {version}"


def faults(tag: str) -> Iterator[str]:
    match = re.fullmatch(r"v(\d+\.\d+\.\d+)", tag)
    if match is None:
        yield f"'{tag}' is no tag of a version, as v0.2.0"
        return
    version = match[1]
    if git("rev-parse", "--verify", "--quiet", f"{tag}^{{commit}}") != git("rev-parse", "HEAD"):
        yield f"{tag} is not this commit: git tag {tag}"
    if git("status", "--porcelain"):
        yield "there are changes that are not committed"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    if declared != version:
        yield f"pyproject.toml has version {declared}, not {version}"
    yield from changelog_faults((ROOT / "CHANGELOG.md").read_text(), version, datetime.date.today())


def main() -> None:
    tag = sys.argv[1] if len(sys.argv) > 1 else git("describe", "--tags", "--exact-match")
    found = list(faults(tag))
    for fault in found:
        print(f"conveyor: {fault}", file=sys.stderr)
    if found:
        sys.exit(1)
    for step in STEPS:
        started = time.monotonic()
        done = subprocess.run(["make", "--no-print-directory", step], cwd=ROOT, check=False)
        print(
            f"conveyor: make {step}: {done.returncode or 'well'}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        if done.returncode:
            sys.exit(1)
    print(f"conveyor: {tag} may be released")


if __name__ == "__main__":
    main()
