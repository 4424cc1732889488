"""What the tests of nameless queues reach into: `nameless.py PREFIX WORDS...`. It ends with its standard input.

Each word makes something with the label PREFIX-WORD; a line of standard input tells it what to do next.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import wait
from typing import Any

import conveyor
import conveyor.multiprocessing


def consume(queue: conveyor.Queue[Any]) -> None:
    """As a program does that waits for several things at once."""
    while True:
        wait([queue._reader])
        print("child got", queue.get(), flush=True)


def made(word: str, label: str) -> Any:
    """What the word says."""
    if word == "full":
        queue: conveyor.Queue[int] = conveyor.Queue(2, label=label)
        queue.put_many([1, 2])
        return queue
    if word == "join":
        return conveyor.JoinableQueue(label=label)
    if word == "topic":
        return conveyor.Topic(label=label)
    if word == "dict":
        return conveyor.SharedDict({"a": 1}, label=label)
    if word == "pipe":
        ends = conveyor.multiprocessing.Pipe()
        ends[0].send(1)  # its memory is made when it is used
        return ends
    queue = conveyor.Queue(label=label)
    if word in ("fork", "spawn"):
        child = multiprocessing.get_context(word).Process(target=consume, args=(queue,), daemon=True)
        child.start()
    return queue


def main() -> None:
    """See the module."""
    prefix, *words = sys.argv[1:]
    kept = {word: made(word, f"{prefix}-{word}") for word in words}
    print("ready", os.getpid(), flush=True)
    for line in sys.stdin:
        verb, word = line.split()
        if verb == "watch":
            assert wait([kept[word]._reader], 0) == []
            print("watching", flush=True)
            wait([kept[word]._reader])
            print("got", kept[word].get(), flush=True)
        elif verb == "join":
            kept[word].put_many(["a", "b"])
            print("put", flush=True)
            print("joined", kept[word].join(30), flush=True)


if __name__ == "__main__":
    main()
