"""Puts conveyor in the standard library's place in every process of a conformance run.

Imported by `site` at the start of each interpreter that has this folder on PYTHONPATH: the one that
runs CPython's tests and all that those start. Writes down what is built, received and inherited, so
that a run can prove that the tests really had conveyor under them.
"""

from __future__ import annotations

import os

_LOG = os.environ.get("CONVEYOR_CONFORMANCE_LOG")


def _note(event: str, what: str) -> None:
    # One short line by O_APPEND: whole, whoever writes at the same time.
    file = os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{event} {what} {os.getpid()}\n".encode())
    finally:
        os.close(file)


def _keep(self, number) -> None:
    self.number = number


def _inject() -> None:
    import multiprocessing.connection

    import conveyor
    from conveyor.queues.joinable_queue import JoinableQueue
    from conveyor.queues.queue import Queue
    from conveyor.queues.simple_queue import SimpleQueue

    conveyor.install()

    def watch(cls: type) -> None:
        build, receive = cls.__init__, cls.__setstate__

        def __init__(self, *args, **kwargs):  # noqa: N807
            build(self, *args, **kwargs)
            _note("built", name_of(self))

        def __setstate__(self, state):  # noqa: N807
            receive(self, state)
            _note("received", name_of(self))

        def name_of(made):
            return "JoinableQueue" if isinstance(made, JoinableQueue) else cls.__name__

        cls.__init__ = __init__
        cls.__setstate__ = __setstate__

    watch(Queue)
    watch(SimpleQueue)
    if os.environ.get("CONVEYOR_CONFORMANCE_LOCKS") == "1":
        import multiprocessing.synchronize

        # `install` leaves the locks alone; the contexts of conveyor.multiprocessing have them.
        names = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier")
        for name in names:
            cls = getattr(conveyor, name)
            setattr(multiprocessing.synchronize, name, cls)
            watch(cls)
        # CPython's tests look into the semaphores of which the standard library's condition is made, for nobody to be
        # left waiting. Ours counts who waits.
        count = type("Count", (), {"__init__": _keep, "get_value": lambda self: self.number})
        conveyor.Condition._sleeping_count = property(lambda self: count(self._waiting))
        conveyor.Condition._woken_count = conveyor.Condition._wait_semaphore = count(0)
    if os.environ.get("CONVEYOR_CONFORMANCE_EXECUTOR") == "1":
        import concurrent.futures.process

        class ProcessPoolExecutor(conveyor.ProcessPoolExecutor):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                _note("built", "ProcessPoolExecutor")

            # CPython's tests wait for the thread that feeds the queue of calls; there is none here.
            @property
            def _call_queue(self):
                return type("NoFeeder", (), {"join_thread": lambda self: None})()

        concurrent.futures.process.ProcessPoolExecutor = ProcessPoolExecutor
        concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor
    make_pipe = multiprocessing.connection.Pipe

    def Pipe(duplex=True):  # noqa: N802
        _note("built", "Pipe")
        return make_pipe(duplex)

    multiprocessing.connection.Pipe = Pipe
    os.register_at_fork(
        after_in_child=lambda: _note("forked", "installed" if conveyor.installed() else "bare")
    )
    _note("started", "installed" if conveyor.installed() else "bare")


if _LOG:
    _inject()
