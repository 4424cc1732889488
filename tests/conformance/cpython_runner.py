"""Runs some of CPython's test classes in this process and writes one JSON line per result.

    python cpython_runner.py RESULTS START_METHOD MODULE CLASS[.METHOD]... [-CLASS.METHOD]...

A class that the running version of CPython does not have is reported as missing; a test with a dash
before it is left out.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parent / "wrappers"))


class JsonResult(unittest.TestResult):
    def __init__(self, stream) -> None:
        super().__init__()
        self._stream = stream
        self._began = 0.0
        self._failed = False

    def record(self, **fields) -> None:
        self._stream.write(json.dumps(fields) + "\n")
        self._stream.flush()

    def startTest(self, test) -> None:  # noqa: N802
        super().startTest(test)
        self._began, self._failed = time.monotonic(), False
        self.record(began=self._name(test))

    def _name(self, test) -> str:
        # Without the module; a class whose set-up failed stands as "setUpClass (module.Class)".
        return ".".join(test.id().split(".")[-2:])

    def _end(self, test, outcome: str, detail: str = "") -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self.record(test=self._name(test), outcome=outcome, detail=detail, seconds=seconds)

    def stopTest(self, test) -> None:  # noqa: N802
        super().stopTest(test)
        gc.collect()  # what a failed test has not shut down: the clean-up of the module waits for its processes

    def addSuccess(self, test) -> None:  # noqa: N802
        super().addSuccess(test)
        if not self._failed:
            self._end(test, "passed")

    def addError(self, test, err) -> None:  # noqa: N802
        super().addError(test, err)
        self._failed = True
        self._end(test, "failed", self._exc_info_to_string(err, test))

    def addFailure(self, test, err) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._failed = True
        self._end(test, "failed", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed = True
            self._end(test, "failed", f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addSkip(self, test, reason) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._end(test, "skipped", reason)

    def addExpectedFailure(self, test, err) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._end(test, "passed", "expected failure")

    def addUnexpectedSuccess(self, test) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._end(test, "failed", "unexpected success")


def main() -> None:
    results, start_method, module_name, *names = sys.argv[1:]
    with Path(results).open("w") as stream:
        result = JsonResult(stream)
        if not module_name.startswith("cpython_multiprocessing"):  # those set it themselves
            multiprocessing.set_start_method(start_method, force=True)
        module = importlib.import_module(module_name)
        suite = unittest.TestSuite()
        for name in names:
            if name.startswith("-"):
                left_out, _, method = name[1:].partition(".")
                setattr(getattr(module, left_out), method, unittest.skip("left out")(lambda self: None))
        for name in names:
            if name.startswith("-"):
                continue
            if hasattr(module, name.partition(".")[0]):
                suite.addTest(unittest.defaultTestLoader.loadTestsFromName(name, module))
            else:
                result.record(missing=name)
        suite.run(result)
        from test import support

        result.record(finished=True, environment_altered=bool(support.environment_altered))


if __name__ == "__main__":
    main()
