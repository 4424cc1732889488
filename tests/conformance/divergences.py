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
    """

    test: str
    reason: str
    methods: tuple[str, ...] = START_METHODS
    sometimes: bool = False
    since: tuple[int, int] = (3, 11)


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
