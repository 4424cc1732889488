"""Subinterpreters: conveyor says that it does not work there, and what to use, before any native code is loaded."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

MODULE = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
if importlib.util.find_spec(MODULE) is None:
    pytest.fail(f"this Python has no {MODULE}")

# In a process of its own: whatever an interpreter leaves behind goes with it.
PROGRAM = """
import sys
import {module} as interpreters

isolated = {isolated}
if sys.version_info >= (3, 13):
    made = interpreters.create("isolated" if isolated else "legacy")
    run = interpreters.exec
else:
    made = interpreters.create(isolated=isolated)
    run = interpreters.run_string
run(made, '''
import sys
try:
    import conveyor.multiprocessing
except ImportError as error:
    print(error)
print("conveyor._native" in sys.modules)
''')
import conveyor  # the main one is as good as before
queue = conveyor.Queue()
queue.put(42)
print(queue.get(timeout=10))
"""


@pytest.mark.parametrize("isolated", [True, False], ids=["isolated", "legacy"])
def test_a_subinterpreter_is_told_what_to_use(isolated: bool) -> None:
    program = PROGRAM.format(module=MODULE, isolated=isolated)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    error, loaded, got = done.stdout.splitlines()
    assert error.startswith(
        "conveyor works in the main interpreter of a process, and this is subinterpreter 1: "
    )
    assert "conveyor.multiprocessing" in error
    assert (loaded, got) == ("False", "42")
