"""Which of CPython's tests concern conveyor, and in which portions they run.

A portion runs in a process of its own: what hangs or crashes takes only that with it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

START_METHODS = ("fork", "spawn", "forkserver")


@dataclass(frozen=True)
class Portion:
    """Test classes of one module that run in one process.

    Attributes:
        name: what the portion is called in test ids.
        module: where the classes are; "{method}" stands for the start method.
        classes: class names, or "Class.method"; "{method}" and "{Method}" stand for the start method.
        builds: what must have been built of conveyor's for the run to count.
        since: classes that only later versions have.
        python: the first version that has the module.
    """

    name: str
    module: str
    classes: tuple[str, ...]
    builds: tuple[str, ...]
    since: dict[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    python: tuple[int, int] = (3, 11)

    def in_this_python(self) -> tuple[str, ...]:
        """The classes that the running version has."""
        return tuple(name for name in self.classes if self.since.get(name, (3, 0)) <= sys.version_info[:2])


OWN_EXECUTOR = "ProcessPoolExecutor"
"""Among what is to be built: conveyor's is in the place of `concurrent.futures.ProcessPoolExecutor`."""

_MULTIPROCESSING = "cpython_multiprocessing_{method}"

# Left out of test._test_multiprocessing: the WithThreads variants, which use nothing between processes.
PORTIONS = (
    Portion(
        "queues",
        _MULTIPROCESSING,
        (
            "WithProcessesTestQueue",
            "WithManagerTestQueue",
            "TestSimpleQueue",
            "WithManagerTestContainers",
            "TestSyncManagerTypes.test_queue",
            "TestSyncManagerTypes.test_joinable_queue",
            "TestSyncManagerTypes.test_pool",
            "TestManagerExceptions",
            "TestStdinBadfiledescriptor",
            "TestStartMethod",
            "_TestImportStar",
        ),
        ("Queue", "JoinableQueue", "SimpleQueue", "Pipe"),
        since={"TestManagerExceptions": (3, 13)},
    ),
    Portion(
        "connections",
        _MULTIPROCESSING,
        (
            "WithProcessesTestConnection",
            "WithProcessesTestPoll",
            "WithProcessesTestPollEintr",
            "WithProcessesTestPicklingConnections",
            "WithProcessesTestListener",
            "WithProcessesTestListenerClient",
            "TestInvalidHandle",
            "TestInvalidFamily",
            "OtherTest",
            "TestCloseFds",
            "TestIgnoreEINTR",
            "TestTimeouts",
        ),
        ("Pipe",),
    ),
    Portion("waiting", _MULTIPROCESSING, ("TestWait",), ("Pipe",)),
    Portion(
        "pools",
        _MULTIPROCESSING,
        (
            "WithProcessesTestPool",
            "WithManagerTestPool",
            "WithThreadsTestPool",
            "WithProcessesTestPoolWorkerErrors",
            "WithProcessesTestPoolWorkerLifetime",
            "TestPoolNotLeakOnFailure",
            "TestInitializers",
            "MiscTestCase",
        ),
        ("SimpleQueue",),
    ),
    Portion(
        "processes",
        _MULTIPROCESSING,
        (
            "WithProcessesTestProcess",
            "WithProcessesTestSubclassingProcess",
            "WithProcessesTestFinalize",
            "WithProcessesTestLogging",
            "WithProcessesTestAtExit",
            "TestForkAwareThreadLock",
            "TestNoForkBomb",
            "TestFlags",
            "TestNamedResource",
            "TestResourceTracker",
        ),
        ("Queue", "Pipe"),
        since={"WithProcessesTestAtExit": (3, 13)},
    ),
    Portion(
        "memory",
        _MULTIPROCESSING,
        (
            "WithProcessesTestSharedMemory",
            "WithProcessesTestSharedCTypes",
            "WithProcessesTestHeap",
            "WithProcessesTestValue",
            "WithProcessesTestArray",
            "WithManagerTestRemoteManager",
            "WithManagerTestMyManager",
            "WithProcessesTestManagerRestart",
        ),
        ("Pipe", "RLock"),
    ),
    Portion(
        "locks",
        _MULTIPROCESSING,
        (
            "WithProcessesTestLock",
            "WithProcessesTestSemaphore",
            "WithProcessesTestCondition",
            "WithProcessesTestEvent",
        ),
        ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"),
    ),
    Portion("barriers", _MULTIPROCESSING, ("WithProcessesTestBarrier",), ("Barrier", "Event", "Lock")),
    Portion(
        "logging",
        "test.test_logging",
        (
            "QueueHandlerTest",
            "QueueListenerTest",
            "LogRecordTest.test_multiprocessing",
            "ConfigDictTest.test_multiprocessing_queues",
            "ConfigDictTest.test_config_queue_handler",
            "ConfigDictTest.test_config_queue_handler_multiprocessing_context",
            "ConfigDictTest.test_config_queue_handler_does_not_create_multiprocessing_manager",
        ),
        ("Queue", "Pipe"),
        since={
            "ConfigDictTest.test_multiprocessing_queues": (3, 13),
            "ConfigDictTest.test_config_queue_handler": (3, 12),
            "ConfigDictTest.test_config_queue_handler_multiprocessing_context": (3, 13),
            "ConfigDictTest.test_config_queue_handler_does_not_create_multiprocessing_manager": (3, 13),
        },
    ),
    Portion("queue", "cpython_queue", ("JoinableQueueTest",), ("JoinableQueue",)),
    Portion(
        "executor-deadlock",
        "test.test_concurrent_futures.test_deadlock",
        ("ProcessPool{Method}ExecutorDeadlockTest",),
        ("Queue", "SimpleQueue", "Pipe"),
        python=(3, 13),
    ),
    Portion(
        "executor",
        "test.test_concurrent_futures.test_process_pool",
        ("ProcessPool{Method}ProcessPoolExecutorTest",),
        ("Queue", "SimpleQueue", "Pipe"),
        python=(3, 13),
    ),
    Portion(
        "executor-shutdown",
        "test.test_concurrent_futures.test_shutdown",
        ("ProcessPool{Method}ProcessPoolShutdownTest",),
        ("Queue", "SimpleQueue", "Pipe"),
        python=(3, 13),
    ),
    Portion(
        "executor-init",
        "test.test_concurrent_futures.test_init",
        ("ProcessPool{Method}InitializerTest", "ProcessPool{Method}FailingInitializerTest"),
        ("Queue", "SimpleQueue", "Pipe"),
        python=(3, 13),
    ),
    # Of conveyor.ProcessPoolExecutor in the place of the standard library's.
    Portion(
        "own-executor",
        "test.test_concurrent_futures.test_process_pool",
        ("ProcessPool{Method}ProcessPoolExecutorTest",),
        (OWN_EXECUTOR,),
        python=(3, 13),
    ),
    Portion(
        "own-executor-shutdown",
        "test.test_concurrent_futures.test_shutdown",
        ("ProcessPool{Method}ProcessPoolShutdownTest",),
        (OWN_EXECUTOR,),
        python=(3, 13),
    ),
    Portion(
        "own-executor-deadlock",
        "test.test_concurrent_futures.test_deadlock",
        ("ProcessPool{Method}ExecutorDeadlockTest",),
        (OWN_EXECUTOR,),
        python=(3, 13),
    ),
    Portion(
        "own-executor-init",
        "test.test_concurrent_futures.test_init",
        ("ProcessPool{Method}InitializerTest", "ProcessPool{Method}FailingInitializerTest"),
        (OWN_EXECUTOR,),
        python=(3, 13),
    ),
    Portion(
        "own-executor-wait",
        "test.test_concurrent_futures.test_wait",
        ("ProcessPool{Method}WaitTest",),
        (OWN_EXECUTOR,),
        python=(3, 13),
    ),
    Portion(
        "own-executor-as-completed",
        "test.test_concurrent_futures.test_as_completed",
        ("ProcessPool{Method}AsCompletedTest",),
        (OWN_EXECUTOR,),
        python=(3, 13),
    ),
)


@dataclass(frozen=True)
class Run:
    """A portion under one start method."""

    portion: Portion
    method: str

    @property
    def module(self) -> str:
        """The module to load."""
        return self.portion.module.format(method=self.method)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, or single tests, of this run."""
        return tuple(
            name.format(method=self.method, Method=self.method.capitalize())
            for name in self.portion.in_this_python()
        )

    @property
    def is_own_executor(self) -> bool:
        """Whether conveyor's executor is in the place of the standard library's."""
        return OWN_EXECUTOR in self.portion.builds

    def __str__(self) -> str:
        return f"{self.portion.name}-{self.method}"


RUNS = tuple(
    Run(portion, method)
    for portion in PORTIONS
    if sys.version_info[:2] >= portion.python
    for method in START_METHODS
)
