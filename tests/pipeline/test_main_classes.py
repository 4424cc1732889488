"""Classes of a program's main module are the same ones in a lambda that travels by value, and in what it is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
PROGRAM = """
import dataclasses, enum, sys
from conveyor import Pipeline, ProcessPoolExecutor

@dataclasses.dataclass
class Point:
    x: int

class Color(enum.Enum):
    RED = 1

class Refused(Exception):
    pass

def refuse():
    raise Refused

def caught(function):
    try:
        function()
    except Refused:
        return True

def is_point(function, point):
    return isinstance(point, Point) and point == Point(1) and function(point)

def is_red(function, color):
    return color is Color.RED

if __name__ == "__main__":
    class Late:
        def made(self):
            return Later(self)

    class Later:
        def __init__(self, by):
            self.by = by

        def is_right(self):
            return isinstance(self.by, Late) and isinstance(self, Later)

    method = sys.argv[1]
    with ProcessPoolExecutor(1, method) as executor:
        print(executor.submit(is_point, lambda point: type(point) is Point, Point(1)).result(60))
        print(executor.submit(is_red, lambda: 0, Color.RED).result(60))
        print(executor.submit(caught, lambda: refuse()).result(60))
        print(executor.submit(lambda point: isinstance(point, Point), Point(1)).result(60))
        print(type(executor.submit(lambda: Point(3)).result(60)) is Point)
        print(executor.submit(lambda: Late().made().is_right()).result(60))
    pipeline = Pipeline([Point(1)]).map(lambda point: isinstance(point, Point), workers=1).to(list)
    print(pipeline.run(start_method=method).result[0])
"""


@pytest.mark.parametrize("method", METHODS)
def test_classes_of_main(method: Any, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), method], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["True"] * 7, (done.stdout, done.stderr)
