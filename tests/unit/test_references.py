"""What the documents name is there: files and headings behind links, folders, targets of make, verbs of the command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

every = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(text: str) -> set[str]:
    """What stands behind '#' in links to its headings."""
    headings = re.findall(r"^#+ (.*)", _BLOCK.sub("", text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def commands(text: str) -> list[str]:
    """The lines that a reader types at a shell."""
    lines: list[str] = []
    for language, block in _BLOCK.findall(text):
        if language in ("sh", "console", ""):
            lines += [line.removeprefix("$ ") for line in block.splitlines()]
    return lines


@every
def test_links(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    wrong: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", text)):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            wrong.append(link)
    assert not wrong


@every
def test_paths(document: Path) -> None:
    if document.name == "CHANGELOG.md":  # of its time
        return
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|src|core|benchmarks|examples|scripts|docs)/[\w./-]+)(?:::[\w:]+)?`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@every
def test_targets_of_make(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {*re.findall(r"`(?:sudo )?make ([\w-]+)", text)}
    named |= {found[1] for line in commands(text) if (found := re.match(r"(?:sudo )?make ([\w-]+)", line))}
    assert named <= targets


def test_all_documents_are_in_the_index() -> None:
    """Who begins with docs/README.md finds them all, and in docs/adr/README.md all decisions."""
    for folder in (ROOT / "docs", ROOT / "docs" / "adr"):
        index = (folder / "README.md").read_text(encoding="utf-8")
        missing = [path.name for path in folder.glob("*.md") if f"]({path.name})" not in index]
        assert missing == ["README.md"]


def test_verbs_of_the_command() -> None:
    verbs: set[str] = set()
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for line in [*commands(text), *re.findall(r"`(conveyor [a-z][^`]*)`", text)]:
            if found := re.match(r"(?:.*\| ?)?conveyor ([a-z]+)\b", line):
                verbs.add(found[1])
    assert len(verbs) > 20
    done = subprocess.run(
        [sys.executable, "-m", "conveyor", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    shown = set(re.findall(r"^\W*([a-z]+)\b", done.stdout, re.MULTILINE))
    assert verbs <= shown, verbs - shown
