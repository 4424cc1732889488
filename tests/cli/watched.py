"""What the tests of `conveyor top` look at: `watched.py PREFIX [QUEUES PROCESSES]`. It ends with its standard input.

Everything it makes has a label that begins with the prefix, and so has its command line.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import conveyor


def few(prefix: str) -> list[object]:
    """A bounded queue that is full, and whose producer waits; an empty one, whose consumer does; a topic that somebody
    is late with; a dict."""
    full: conveyor.Queue[int] = conveyor.Queue(4, label=f"{prefix}-full")
    full.put_many(range(4))
    empty: conveyor.Queue[int] = conveyor.Queue(label=f"{prefix}-empty")
    topic: conveyor.Topic[int] = conveyor.Topic(label=f"{prefix}-topic")
    late = topic.subscribe()
    for number in range(3):
        topic.publish(number)
    shared: conveyor.SharedDict[str, int] = conveyor.SharedDict({"a": 1}, label=f"{prefix}-dict")
    threading.Thread(target=full.put, args=(5,), daemon=True).start()
    threading.Thread(target=empty.get, daemon=True).start()
    return [full, empty, topic, late, shared]


def many(prefix: str, queues: int, processes: int) -> list[object]:
    """So many queues, which so many processes all use."""
    made: list[conveyor.Queue[int]] = [conveyor.Queue(label=f"{prefix}-{n:03}") for n in range(queues)]
    ready: conveyor.Queue[int] = conveyor.Queue(label=f"{prefix}-ready")
    for number in range(processes):
        if os.fork() == 0:
            for each in made:
                each.put(number)
            ready.put(number)
            signal.pause()
    for _ in range(processes):
        ready.get()
    return [*made, ready]


if __name__ == "__main__":
    os.setpgid(0, 0)
    kept = few(sys.argv[1]) if len(sys.argv) == 2 else many(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)
