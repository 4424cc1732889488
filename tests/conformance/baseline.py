"""CPython tests that fail on the plain standard library too, so that they say nothing about conveyor.

Found by `CONVEYOR_CONFORMANCE_TARGET=stdlib pytest tests/conformance`, which runs everything without
conveyor; a line whose test passes there fails that run.
"""

from __future__ import annotations

from divergences import Exemption

BASELINE = (
    Exemption(
        "JoinableQueueTest.test_negative_timeout_raises_exception",
        "queue.Queue raises ValueError for a negative timeout; multiprocessing's queues do not, and conveyor "
        "follows those.",
    ),
    Exemption(
        "ProcessPool{Method}ProcessPoolExecutorTest.test_traceback_when_child_process_terminates_abruptly",
        "The executor asks for the exit code when the sentinel has shut, a moment before there is one: on two busy "
        "processors the standard library alone failed 5 times of 12, with conveyor 4.",
        methods=("fork", "spawn"),
        sometimes=True,
        since=(3, 15),
    ),
)

# What the standard library fails, most times or always, and conveyor passes.
BETTER = (
    Exemption(
        "JoinableQueueTest.test_basic", "an item is in sight some time after put() has returned, not at once"
    ),
    Exemption("JoinableQueueTest.test_nowait", "get_nowait() raises Empty although items were put before"),
)

# What hangs the standard library now and then, and takes the rest of its portion with it: not even tried.
UNTRIED = (
    Exemption(
        "WithThreadsTestPool.test_terminate",
        "threads cannot be terminated, so it may wait for 10 000 naps; later versions skip it",
    ),
)
