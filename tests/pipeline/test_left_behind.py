"""What a run must not leave behind in the program that ran it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conveyor import Pipeline

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
