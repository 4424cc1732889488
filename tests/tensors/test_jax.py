"""JAX's arrays on the processor arrive as they were sent, and lie in the queue's memory: jax_programs.py says how."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("jax_programs.py")
NAMES = (
    *("types", "with_64_bits", "forms", "lifetime", "donation", "topic", "stores", "several_devices"),
    *("deleted", "dead_sender"),
)


@pytest.mark.parametrize("name", NAMES)
def test_program(name: str) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: make test-torch")
    done = subprocess.run(
        [sys.executable, PROGRAM, name], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
