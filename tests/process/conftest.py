"""What several of these tests have in common."""

from __future__ import annotations

import multiprocessing as standard
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import METHODS

import conveyor.multiprocessing as multiprocessing


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    """A context of each start method."""
    return multiprocessing.get_context(request.param)


@pytest.fixture
def start_method() -> Iterator[None]:
    """Whatever start method a test sets is unset again after it."""
    before = standard.get_start_method(allow_none=True)
    yield
    standard.set_start_method(before, force=True)
