"""Every CPython test that conveyor does not pass, and why. There is no other list.

A test named here that passes fails the run: then the line must go.
"""

from __future__ import annotations

from dataclasses import dataclass

from suites import START_METHODS


@dataclass(frozen=True)
class Exemption:
    """A test that is expected to fail.

    Attributes:
        test: "Class.test"; "{Method}" stands for the start method.
        reason: why it is right that it fails.
        methods: the start methods that it concerns.
        sometimes: it depends on timing whether it fails, so it may pass.
        since: the first version of Python in which it fails.
        executor: whose executor the tests are about: "own", "standard" with conveyor's queues; None: both.
    """

    test: str
    reason: str
    methods: tuple[str, ...] = START_METHODS
    sometimes: bool = False
    since: tuple[int, int] = (3, 11)
    executor: str | None = None


_UNREADABLE = (
    "It wants a broken pool. Here what cannot be unpickled fails its own call, with what was raised by unpickling it, "
    "and the pool goes on."
)
_NO_WORKERS = (
    "It counts the workers of calls that cannot be pickled. Here those fail at once, and no worker is started for "
    "them, or not so soon."
)
_JOINED = (
    "It joins the processes that were there when the first call had been submitted. Here they are joined and closed "
    "when they end, and cannot be once more."
)
_NO_RACE = (
    "It wants that some of the calls have begun when submit() has returned, and are done after shutdown(cancel_futures="
    "True). Here submit() waits for nobody, and all that has not begun is cancelled."
)

DIVERGENCES = (
    Exemption(
        "WithProcessesTestQueue.test_queue_feeder_donot_stop_onexc",
        "It wants put() of an object that cannot be pickled to succeed, with a traceback on stderr later. "
        "Here put() raises in the caller, so that no item is dropped unseen (defects 5, 6, 7).",
    ),
    Exemption(
        "TestStartMethod.test_mixed_startmethod",
        "It wants a queue made in a fork context to be refused by processes of the other start methods, as "
        "its semaphores have no name. Here a queue has no semaphores and goes to any process (defect 26).",
    ),
    Exemption(
        "ProcessPool{Method}ProcessPoolExecutorTest.test_python_finalization_error",
        "It lets the feeder thread fail to start and wants a broken pool. Here there is no feeder thread, "
        "and the pool does its work: the test's tasks then raise TypeError, being given too few arguments.",
    ),
    Exemption(
        "ProcessPool{Method}ProcessPoolExecutorTest.test_killed_child",
        "It kills a worker, and wants all calls to fail and none to be taken any more. Here the call fails that the "
        "worker was at, if there was one, and the worker is replaced.",
        executor="own",
    ),
    Exemption(
        "ProcessPool{Method}ExecutorDeadlockTest.test_error_at_task_unpickle", _UNREADABLE, executor="own"
    ),
    Exemption(
        "ProcessPool{Method}ExecutorDeadlockTest.test_exit_at_task_unpickle", _UNREADABLE, executor="own"
    ),
    Exemption(
        "ProcessPool{Method}ExecutorDeadlockTest.test_error_during_result_unpickle_in_result_handler",
        _UNREADABLE,
        executor="own",
    ),
    Exemption(
        "ProcessPool{Method}ExecutorDeadlockTest.test_exit_during_result_unpickle_in_result_handler",
        _UNREADABLE,
        executor="own",
    ),
    Exemption(
        "ProcessPool{Method}ProcessPoolShutdownTest.test_cancel_futures",
        _NO_RACE,
        sometimes=True,
        executor="own",
    ),
    Exemption(
        "ProcessPool{Method}ProcessPoolShutdownTest.test_processes_terminate",
        _NO_WORKERS,
        executor="own",
    ),
    Exemption("ProcessPool{Method}ProcessPoolExecutorTest.test_saturation", _NO_WORKERS, executor="own"),
    Exemption(
        "ProcessPool{Method}ProcessPoolShutdownTest.test_del_shutdown",
        _JOINED,
        sometimes=True,
        executor="own",
    ),
    Exemption(
        "ProcessPool{Method}ProcessPoolShutdownTest.test_shutdown_no_wait",
        _JOINED,
        sometimes=True,
        executor="own",
    ),
    Exemption(
        "WithProcessesTestLock.test_repr_lock",
        "It wants the name of the holding process, or SomeOtherProcess. Here the repr of a lock tells which process "
        "holds it, by its number, and whether that has ended.",
        since=(3, 14),
    ),
    Exemption(
        "WithProcessesTestLock.test_repr_rlock",
        "As test_repr_lock; it wants '<RLock(None, 0)>'. Here it is said what is what: '<RLock(owner=None, count=0)>'.",
        since=(3, 14),
    ),
)
