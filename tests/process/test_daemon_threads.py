"""Threads that are inside a call when the interpreter ends: the program ends as if they were not there.

CPython up to 3.13 ends such a thread when it wants the GIL back. Each program here has several that do: in a call that
waits without the GIL and looks up every half millisecond, or in Python code that conveyor has called.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = 6
RUNS = 2

# Calls `once` again and again in daemon threads; ends as soon as all of them have been through it.
PROGRAM = """
import threading, time
import conveyor
from conveyor import *
from queue import Empty, Full
T = 0.0005
{setup}
been = threading.Barrier({threads} + 1)
def run():
    waited = False
    while True:
        try:
{once}
        except (Empty, Full, TimeoutError, threading.BrokenBarrierError, Lagged):
            pass
        if not waited:
            waited = True
            been.wait()
if __name__ == "__main__":
    for _ in range({threads}):
        threading.Thread(target=run, daemon=True).start()
    been.wait(50)
"""

SLOW = """
class Packs:
    def __reduce__(self):
        time.sleep(T)
        return int, ()
class Unpacks:
    def __reduce__(self): return time.sleep, (T,)
class Goes:
    def __reduce__(self): return int, ()
    def __del__(self): time.sleep(T)
def yields(what):
    for i in range(5):
        time.sleep(T)
        yield what(i)
class Codec:
    name = "slow"
    def dumps(self, item):
        time.sleep(T)
        return str(item).encode(), []
    def loads(self, header, buffers):
        time.sleep(T)
        return int(bytes(header))
"""

# What waits: what there is, and one round of it.
WAITING = {
    "get": ("q = Queue()", "q.get(timeout=T)"),
    "get_many": ("q = Queue()", "q.get_many(5, timeout=T)"),
    "get of a joinable": ("q = JoinableQueue(3)", "q.get(True, T)"),
    "lease": ("q = Queue()", "q.lease(T)"),
    "join": ("q = JoinableQueue(); q.put(1)", "q._wait_tasks(T)"),
    "put": ("q = Queue(1); q.put(1)", "q.put(1, timeout=T)"),
    "put_many": ("q = Queue(1); q.put(1)", "q.put_many([1, 2], timeout=T)"),
    "large items": ("q = Queue()", "q.put(bytes(100_000)); q.get()"),
    "recv": ("a, b = Pipe()\nthreading.Thread(target=lambda: [b.send(1) or time.sleep(T) for _ in iter(int, 1)],"
             " daemon=True).start()", "a.recv()"),
    "poll": ("a, b = Pipe()", "a.poll(T)"),
    "event": ("e = Event()", "e.wait(T)"),
    "lock": ("l = Lock(); l.acquire()", "l.acquire(timeout=T)"),
    "rlock": ("l = RLock()", "l.acquire(timeout=T) and (time.sleep(T), l.release())"),
    "semaphore": ("s = Semaphore(0)", "s.acquire(timeout=T)"),
    "condition": ("c = Condition()", "with c: c.wait(T)"),
    "barrier": ("b = Barrier(100)", "b.wait(T)"),
    "value": ("v = conveyor.SharedValue(int)", "v.wait_for(bool, T)"),
    "dict": ("d = conveyor.SharedDict()", "d.wait('key', T)"),
    "claim": ("d = conveyor.SharedDict()", "with d.updating('key', T): time.sleep(T)"),
    "topic": ("t = Topic(); s = t.subscribe()", "s.get(timeout=T)"),
    "publish": ("t = Topic(max_bytes=4096); s = t.subscribe()", "t.publish(bytes(900), timeout=T)"),
}  # fmt: skip
# Python code that conveyor calls.
CALLED = {
    "reduce": ("q = Queue()", "q.put(Packs()); q.get()"),
    "loads": ("q = Queue()", "q.put(Unpacks()); q.get()"),
    "loads of a batch": ("q = Queue()", "q.put_many([Unpacks(), 1]); q.get_many()"),
    "generator": ("q = Queue()", "q.put_many(yields(int)); q.get_many()"),
    "finalizer": ("q = Queue()", "q.put_many(Goes() for _ in range(3)); q.get_many()"),
    "codec": ("q = Queue(codec=Codec())", "q.put(1); q.get()"),
    "events": ("t = Topic()", "t.publish_many(yields(lambda i: Packs()))"),
    "filter": ("t = Topic(); [t.publish(i) for i in range(9)]",
               "s = t.subscribe(from_=0, filter=lambda e: time.sleep(T)); s.get(timeout=T)"),
    "dict value": ("d = conveyor.SharedDict()", "d[1] = Packs(); d[2] = Unpacks(); d[2]"),
    "dict key": ("import fractions\nclass Key(fractions.Fraction):\n    def __hash__(self): time.sleep(T); return 1\n"
                 "d = conveyor.SharedDict()", "Key(1, 3) in d"),
    "list": ("l = conveyor.SharedList()", "l[:] = yields(lambda i: Unpacks()); l[0]"),
    "timeout": ("class Long:\n    def __float__(self): time.sleep(T); return T\nq = Queue()", "q.get(timeout=Long())"),
    "value": ("class One:\n    def __index__(self): time.sleep(T); return 1\nv = conveyor.SharedValue(int)",
              "v.add(One())"),
}  # fmt: skip


def run(program: str) -> None:
    for _ in range(RUNS):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def filled(setup: str, once: str) -> str:
    lines = "\n".join("            " + line for line in once.splitlines())
    return PROGRAM.format(setup=setup, once=lines, threads=THREADS)


@pytest.mark.parametrize("what", WAITING)
def test_a_thread_that_waits_does_not_mar_the_end(what: str) -> None:
    run(filled(*WAITING[what]))


@pytest.mark.parametrize("what", CALLED)
def test_a_thread_in_code_that_was_called_does_not_mar_the_end(what: str) -> None:
    setup, once = CALLED[what]
    run(filled(SLOW + setup, once))


def test_the_thread_that_waits_for_coroutines_does_not_mar_the_end() -> None:
    # It goes on looking for half a second after the last coroutine has given up.
    run("""
import asyncio
from conveyor import Queue, Topic
from queue import Full
async def main():
    for _ in range(2):
        queues = [Queue(1) for _ in range(8)]
        for queue in queues:
            queue.put(1)
            try:
                await queue.aput(2, timeout=0.001)
            except Full:
                pass
        topic = Topic(max_bytes=4096)
        subscription = topic.subscribe()
        try:
            await subscription.aget(timeout=0.001)
        except Exception:
            pass
asyncio.run(main())
""")


def test_nor_in_a_program_that_has_installed_it() -> None:
    run(filled(
        "conveyor.install()\nimport multiprocessing\nq = multiprocessing.Queue()\ne = multiprocessing.Event()",
        "e.wait(T)\nq.get(timeout=T)",
    ))  # fmt: skip


def test_what_is_released_at_the_end_of_the_program_is_released() -> None:
    # The main thread itself goes on while the interpreter is finalised: it gives up the GIL and gets it back.
    run("""
import atexit, threading
from conveyor import Queue
q = Queue(1)
class Late:
    def __del__(self, q=q):  # the name may mean nothing any more, on a free-threaded build
        q.put(b"x" * 100_000)
        assert len(q.get()) == 100_000
late = Late()
atexit.register(lambda: (q.put(b"y" * 100_000), q.get()))
threading.Thread(target=lambda: Queue().get(), daemon=True).start()
""")


def test_a_finalizer_of_what_could_not_be_read_does_not_mar_the_end() -> None:
    # In the middle of a record, whose first value goes when the second cannot be made.
    run("""
import threading, time
import __main__  # whose names are cleared at the very end, then
from conveyor._native import _decode_instances, _encode_instances
class Held:
    def __init__(self):
        self.a = 1
    def __del__(self, sleep=time.sleep):
        if armed:
            going.set()
            sleep(0.5)
class Bad:
    def __init__(self):
        self.a = 1
    def __setstate__(self, state):
        raise ValueError
class Late:
    def __del__(self, sleep=time.sleep):
        sleep(1.5)
armed = False
going = threading.Event()
late = Late()
record = {"first": Held(), "second": Bad()}
encoded = [_encode_instances(record) for _ in range(3)]  # by its shape from the second on
def read():
    _decode_instances(encoded[2])
armed = True
threading.Thread(target=read, daemon=True).start()
going.wait()
""")
