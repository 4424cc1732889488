"""A program with a `Pool`, of whose workers' ends something else is told: `pool_unseen_ends.py HOW METHOD`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from helpers import until

import conveyor.multiprocessing as multiprocessing


def double(number: int) -> int:
    return 2 * number


def reap(*_: Any) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def steal(go_on: threading.Event) -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            go_on.wait(0.001)


def main(how: str, method: str) -> None:
    if how == "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    elif how == "handler":
        signal.signal(signal.SIGCHLD, reap)
    else:
        threading.Thread(target=steal, args=(threading.Event(),), daemon=True).start()
    context: Any = multiprocessing.get_context(method)

    # Workers that end by themselves are replaced.
    with context.Pool(2, maxtasksperchild=1) as pool:
        assert pool.map(double, range(6), chunksize=1) == [0, 2, 4, 6, 8, 10]
        pool.close()
        pool.join()

    # So are those that are killed, and nobody asks for their end without end.
    pool = context.Pool(2)
    assert pool.map(double, range(4)) == [0, 2, 4, 6]
    killed = pool._pool[0]
    os.kill(killed.pid, signal.SIGKILL)
    until(lambda: killed not in pool._pool and len(pool._pool) == 2, "the killed worker is replaced", 20)
    assert pool.map(double, range(4)) == [0, 2, 4, 6]
    assert all(worker.is_alive() for worker in pool._pool)
    pool.terminate()
    pool.join()
    assert not any(worker.is_alive() for worker in pool._pool)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # beside a thread that waits for children
