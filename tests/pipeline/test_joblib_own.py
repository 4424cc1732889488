"""joblib's own tests of `Parallel`, with conveyor's backend in the place of loky's.

`joblib_own/sitecustomize.py` puts it there, in every process; `joblib_own/joblib_selection.py` says which tests apply,
and which do not pass, with the reasons.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("joblib.test") is None:
    pytest.skip("this joblib comes without its tests", allow_module_level=True)

FOLDER = Path(__file__).parent / "joblib_own"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_joblibs_own_tests(tmp_path: Path) -> None:
    log = tmp_path / "submitted"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "-p", "joblib_selection"),
        *("--timeout", "60", "--rootdir", str(tmp_path), "--pyargs", "joblib.test.test_parallel"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "CONVEYOR_JOBLIB_LOG": str(log)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 150, done.stdout[-2000:]
    # They really had conveyor under them.
    assert len(log.read_bytes().splitlines()) > 500
