"""Which of joblib's own tests apply to a backend, and those that conveyor's does not pass, with the reasons.

A plugin of the pytest that runs joblib's tests. A test named in DIFFERENT that passes fails the run: then its line
must go.
"""

from __future__ import annotations

import pytest

NOT_ABOUT_BACKENDS = {
    "memmap": "there are no memory-mapped files: arrays go through shared memory",
    "test_loky_reuse_workers": "asks loky's own registry of executors; test_joblib.py asks whether ours stays",
    "test_background_thread_parallelism[multiprocessing]": "runs with the default backend, whatever its parameter says",
    "test_background_thread_parallelism[threading]": "runs with the default backend, whatever its parameter says",
}
"""Parts of names of tests that are not run, and why."""

DIFFERENT = {
    "test_nested_parallel_warnings[loky-multiprocessing-True]": (
        "a Pool within one of our workers works, so there is nothing to warn of"
    ),
    "test_parallel_with_interactively_defined_bound_method_loky": (
        "wants loky's class of processes to be named in the log"
    ),
    "test_multiple_generator_call_separated_gc": (
        "wants a generator that is dropped to break all other calls that are under way; here it ends only its own"
    ),
}
"""Tests, whole or by their parameters, that are expected to fail, and why."""

OTHER_BACKENDS = ("multiprocessing", "threading", "sequential")


def concerns_ours(item: pytest.Item) -> bool:
    """Whether a test that has parameters for backends has ours among them."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return True
    backends = [
        value for name, value in callspec.params.items() if "backend" in name and "n_jobs" not in name
    ]
    # Not those that joblib brings, by their names or as objects, and not multiprocessing's contexts.
    own = [
        (isinstance(value, str) and value not in OTHER_BACKENDS) or value is None or is_ours(value)
        for value in backends
    ]
    return not backends or any(own)


def is_ours(value: object) -> bool:
    return any(base.__module__ == "conveyor.joblib" for base in type(value).__mro__)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selected: list[pytest.Item] = []
    for item in items:
        if not concerns_ours(item) or any(part in item.name for part in NOT_ABOUT_BACKENDS):
            continue
        for name, reason in DIFFERENT.items():
            # The parameters of the last also name backends of joblib's, and are left out by then.
            if item.name == name or item.name.partition("[")[0] == name:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        selected.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = selected
