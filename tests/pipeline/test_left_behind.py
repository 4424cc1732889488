"""What a run must not leave behind in the program that ran it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from stages import same

from conveyor import Pipeline
from conveyor.pipeline.host.deferred_signals import deferred_signals, surely
from conveyor.pipeline.supervise.system_poller import SystemPoller

TERMINATES = """
import multiprocessing, time
from multiprocessing import resource_tracker
from conveyor import Pipeline

def same(item):
    return item

if __name__ == "__main__":
    resource_tracker.ensure_running()  # else its start, on the way, unblocks what a run may have blocked
    assert Pipeline(range(5)).map(same, workers=1).run(start_method={method!r}).results == 5
    process = multiprocessing.get_context({method!r}).Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(20)
    print(process.exitcode)
    process.kill()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_started_afterwards_can_be_terminated(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TERMINATES.format(method=method))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("-15", "")


def test_a_thread_that_was_left_behind_leaves_when_it_can() -> None:
    release = threading.Event()
    stuck: list[threading.Thread] = []

    def work(item: int) -> int:
        if item == 3:
            stuck.append(threading.current_thread())
            release.wait(60)
        return item

    report = Pipeline(range(20)).map(work, threads=2, timeout=0.2, on_error="skip").to(set).run()
    assert report.result == set(range(20)) - {3}
    (thread,) = stuck
    release.set()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("streams", [True, False])
def test_an_interrupt_just_when_a_worker_was_started(
    method: Any, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker is left, for which the program would wait at its end for ever: the leak check looks."""
    process = multiprocessing.get_context(method).Process
    start = process.start
    started = 0

    def start_and_interrupt(self: Any) -> None:
        nonlocal started
        start(self)
        started += 1
        os.kill(os.getpid(), signal.SIGINT)
        if not streams:  # the first makes a run drain
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(process, "start", start_and_interrupt)
    pipeline = Pipeline(range(1000)).map(same, workers=2)
    # Of two signals at a time, either may be told of first.
    with pytest.raises(KeyboardInterrupt if streams else (KeyboardInterrupt, SystemExit)):
        if streams:
            list(pipeline.stream(start_method=method))
        else:
            pipeline.run(start_method=method)
    assert started == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_signals_are_deferred_and_not_lost() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), deferred_signals():
        os.kill(os.getpid(), signal.SIGINT)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_signals_that_have_no_handler_of_pythons_are_left_alone() -> None:
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_signals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)


@pytest.mark.parametrize("call", range(4))
def test_handlers_are_back_whenever_a_signal_comes(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two handlers are put aside and put back by four calls; the exception comes just after each of them."""

    def terminate(number: int, _frame: Any) -> None:
        raise SystemExit(number)

    install = signal.signal
    old = install(signal.SIGTERM, terminate)
    calls = 0
    done: list[str] = []

    def install_and_interrupt(number: Any, handler: Any) -> Any:
        nonlocal calls
        before = install(number, handler)
        calls += 1
        if calls == call + 1:
            for each in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), each)
        return before

    monkeypatch.setattr(signal, "signal", install_and_interrupt)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            surely(lambda: done.append("done"))
        assert done == ["done"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGTERM, old)


def test_a_thread_may_tell_of_results_while_its_run_ends() -> None:
    """The number of a descriptor that was closed may be anybody's: it must not be written to."""
    failed: list[BaseException] = []

    def wake(watch: SystemPoller) -> None:
        try:
            for _ in range(30):
                watch.wake()
        except BaseException as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(1000):
            watch = SystemPoller(None)
            threads = [threading.Thread(target=wake, args=(watch,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            watch.close()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
