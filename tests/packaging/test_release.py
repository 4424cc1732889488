"""What scripts/release_check.py and scripts/wheel_check.py find wrong, without building anything."""

from __future__ import annotations

import datetime
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conveyor import _native

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
TODAY = datetime.date(2026, 12, 1)

GOOD = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-11-30

### Added

- Wheels.

## [0.1.0] - 2026-01-02

- The first.
"""


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        ("[Unreleased]\n", "[Unreleased]\n\n- Something.\n", "[Unreleased] belongs under [0.2.0]"),
        (" - 2026-11-30", "", "with a date"),
        ("[0.2.0]", "[0.2.1]", "no section"),
        ("2026-11-30", "2026-12-02", "not come yet"),
        ("2026-11-30", "2026-11-31", "is no date"),
        ("### Added\n\n- Wheels.\n", "", "nothing is said"),
    ],
)
def test_a_changelog_must_be_that_of_the_release(old: str, new: str, said: str | None) -> None:
    from release_check import changelog_faults

    found = list(changelog_faults(GOOD.replace(old, new, 1), "0.2.0", TODAY))
    if said is None:
        assert found == []
    else:
        [fault] = found
        assert said in fault


def test_a_tag_that_is_not_there_is_refused_before_anything_is_built() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "release_check.py", "v99.0.0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "v99.0.0 is not this commit" in done.stderr
    assert "not 99.0.0" in done.stderr
    assert done.stdout == ""


def test_an_extension_that_is_linked_with_the_systems_runtime_is_not_portable() -> None:
    from wheel_check import extension_faults

    data = Path(_native.__file__).read_bytes()
    found = " ".join(extension_faults(data, "x86_64" if data[18] == 62 else "aarch64"))
    assert "the C++ runtime is not in the extension" in found
    assert "libstdc++.so.6" in found
    assert "an unwinder of its own" not in found
    other = " ".join(extension_faults(data, "aarch64" if data[18] == 62 else "x86_64"))
    assert "the extension is for EM_" in other


def test_a_wheel_for_this_machine_alone_is_not_portable(tmp_path: Path) -> None:
    from wheel_check import faults

    wheel = tmp_path / "conveyor-0.2.0-cp311-cp311-linux_x86_64.whl"
    zipfile.ZipFile(wheel, "w").close()
    assert faults(wheel) == ["its tags are cp311-cp311-linux_x86_64"]
