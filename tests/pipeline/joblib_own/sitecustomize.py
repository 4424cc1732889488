"""Puts conveyor's backend in the place of joblib's own in every process of a run of joblib's tests.

Imported by `site` at the start of each interpreter that has this folder on PYTHONPATH. Writes down each batch that is
submitted, so that a run can prove that the tests had conveyor under them.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys

LOG = os.environ.get("CONVEYOR_JOBLIB_LOG", "")


def put_in_place() -> None:
    import joblib._parallel_backends
    import joblib.parallel

    import conveyor.joblib

    conveyor.joblib.register("conveyor")
    ours = joblib.parallel.BACKENDS.pop("conveyor")

    def submit(self, func, callback=None):
        file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, b"submitted\n")
        os.close(file)
        return ours.submit(self, func, callback)

    # By this name, which tests compare. joblib.parallel keeps its own: it looks into loky's executor.
    backend = type("LokyBackend", (ours,), {"submit": submit})
    joblib.parallel.BACKENDS["loky"] = joblib._parallel_backends.LokyBackend = backend


class AfterJoblib(importlib.abc.MetaPathFinder):
    """Has joblib changed when a process imports it: most of those that are started never do."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "joblib":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            put_in_place()

        spec.loader.exec_module = exec_module
        return spec


if LOG:
    sys.meta_path.insert(0, AfterJoblib())
