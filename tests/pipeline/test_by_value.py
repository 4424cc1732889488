"""Lambdas, closures and functions of a notebook under spawn and forkserver: by value, through cloudpickle."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conveyor import Pipeline, PipelineError, Queue

METHODS: list[Any] = ["spawn", "forkserver"]
PROGRAM = """
from conveyor import Pipeline
factor = 3
def helper(item):
    return factor * item
class Scaled:
    def setup(self):
        self.by = 10
    def __call__(self, item):
        return self.by * helper(item)
def work(item):
    return helper(item) + 1

pipeline = Pipeline(range(4), ordered=True).map(work, workers=1).map(Scaled, workers=1).to(list)
print(pipeline.run(start_method={method!r}).result)
"""


@pytest.mark.parametrize("method", METHODS)
def test_lambdas_and_closures(method: Any) -> None:
    base = 5

    def add(item: int) -> int:
        return item + base

    pipeline = Pipeline(range(4), ordered=True).map(lambda item: 2 * item, workers=2).map(add, workers=1)
    pipeline.check(method)
    assert pipeline.to(list).run(start_method=method).result == [5, 7, 9, 11]


@pytest.mark.parametrize("method", METHODS)
def test_what_a_new_process_inherits_may_be_in_them(method: Any) -> None:
    seen: Queue[int] = Queue()
    table = np.ones(64 * 1024)
    report = (
        Pipeline([1, 2], ordered=True)
        .map(lambda item: (seen.put(item), item + float(table.sum()))[1], workers=1)
        .to(list)
        .run(start_method=method)
    )
    assert report.result == [1 + table.size, 2 + table.size]
    assert sorted(seen.get(timeout=10) for _ in range(2)) == [1, 2]
    seen.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["-c", "stdin", "interactive"])
def test_functions_of_a_main_module_that_cannot_be_imported(method: Any, how: str) -> None:
    text = PROGRAM.format(method=method)
    if how == "interactive":
        text = text.replace("class Scaled", "\nclass Scaled").replace("def work", "\ndef work")
    arguments = {"-c": ["-c", text], "stdin": ["-"], "interactive": ["-i", "-q"]}[how]
    done = subprocess.run(
        [sys.executable, *arguments],
        input=None if how == "-c" else text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "[30, 120, 210, 300]" in done.stdout, done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_travel_by_value_either_is_named(method: Any) -> None:
    lock = threading.Lock()
    with pytest.raises(PipelineError, match="a lambda cannot be pickled") as raised:
        Pipeline([1]).map(lambda _: lock.locked(), workers=1).check(method)
    assert "lock" in str(raised.value)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(
        PipelineError, match=r"a lambda cannot be pickled .*pip install 'conveyor\[cloudpickle\]'"
    ):
        Pipeline([1]).map(lambda item: item, workers=1).check("spawn")


def test_a_function_that_can_be_imported_is(tmp_path: Path) -> None:
    code = (
        "import sys; from conveyor import Pipeline; import os.path\n"
        "if __name__ == '__main__':\n"
        "    print(Pipeline(['a/b']).map(os.path.basename, workers=1).to(list).run(start_method='spawn').result)\n"
        "    assert 'cloudpickle' not in sys.modules\n"
    )
    (tmp_path / "program.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "['b']\n", done.stderr
