"""Torch is some GB: its tests run where it can be imported, and say so where not. `make test-torch` installs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("torch") is not None:
        return
    absent = pytest.mark.skip(reason="torch is not installed, which is some GB: make test-torch")
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(absent)
