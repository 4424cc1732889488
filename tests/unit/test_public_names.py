"""What packages show (`dir`, `import *`) is what they are for, and nothing that they import for their own use."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import conveyor

PUBLIC = sorted(
    name
    for _, name, is_package in pkgutil.walk_packages(conveyor.__path__, "conveyor.")
    if is_package
    and not any(part.startswith("_") for part in name.split("."))
    and name.split(".")[1] not in ("bench", "cli", "workers", "multiprocessing")
    and not name.startswith(("conveyor.pipeline.", "conveyor.transports."))
)


@pytest.mark.parametrize("name", ["conveyor", *PUBLIC])
def test_public_packages_show_what_is_theirs(name: str) -> None:
    module = importlib.import_module(name)
    shown = {each for each in dir(module) if not each.startswith("_")}
    assert shown == {each for each in module.__all__ if not each.startswith("_")}
    assert all(hasattr(module, each) for each in module.__all__)


@pytest.mark.parametrize("name", ["conveyor", "conveyor.pipeline", "conveyor.codecs", "conveyor.queues"])
def test_packages_have_nothing_else_either(name: str) -> None:
    module = importlib.import_module(name)
    assert not [
        each for each in ("annotations", "TYPE_CHECKING", "Any", "lazy", "sys") if hasattr(module, each)
    ]
