"""The servers, for the tests of themselves."""

from __future__ import annotations

import pytest

from conveyor.transports.registry import ROWS
from servers.fixtures import *  # noqa: F403
from servers.registry import KINDS, make_class


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the servers that no transport is for yet: they take minutes, and nothing stands on them."""
    unused = [kind for kind in (*KINDS, "kafka") if make_class(kind).scheme not in ROWS]
    left_out = [
        item
        for item in items
        if item.path.parent.name == "servers" and any(kind in item.nodeid for kind in unused)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
