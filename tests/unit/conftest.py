"""What several of these tests have in common."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def name() -> Iterator[str]:
    """A name that nothing in shared memory has; what has it after the test is removed."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for path in Path("/dev/shm").glob(f"conveyor*{name}*"):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
