"""pyzmq: PUSH/PULL over ipc (a Unix socket), with pickle.

There is no broker, so no shared queue either: every consumer binds a PULL socket, every producer
has a PUSH socket to each and goes round them. With several consumers that is dealing out, not
sharing: a slow consumer would not be relieved by the others. Items of 64 KiB and more are received
without pyzmq's own copy (`copy=False`), which tripled its speed in a trial at 1 MiB; smaller ones
with it, as is its default (not compared there). A producer must not close while a consumer still
reads, or now and then messages are lost, even with LINGER at -1 (seen here at the default
high-water mark): the harness lets all finish first.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import cycle, islice, repeat
from time import monotonic_ns
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import SAMPLE_EVERY, Channel, Receiver, Rival, Sender, Shape, Tally

__all__ = ["ZeroMQ"]

_PROTOCOL = pickle.HIGHEST_PROTOCOL
_HIGH_WATER = 1000
"""Messages: libzmq's default for each of its two ends; unlimited (0) was no faster in a few trials."""


class _Sender(Sender):
    def __init__(self, zmq: Any, addresses: list[str], bound: int) -> None:
        self.context = zmq.Context()
        self.sockets: list[Any] = []
        for address in addresses:
            socket = self.context.socket(zmq.PUSH)
            socket.setsockopt(zmq.SNDHWM, bound or _HIGH_WATER)
            socket.setsockopt(zmq.RECONNECT_IVL, 2)  # ms; the consumer may bind a little later
            socket.connect(address)
            self.sockets.append(socket)
        self.turn = cycle(self.sockets)
        super().__init__(lambda item: next(self.turn).send(pickle.dumps(item, _PROTOCOL)))

    def send(self, items: Sequence[Any], count: int) -> None:
        dumps = pickle.dumps
        if len(self.sockets) == 1:
            send = self.sockets[0].send
            for item in islice(cycle(items), count):
                send(dumps(item, _PROTOCOL))
            return
        sends: list[Callable[[bytes], Any]] = [socket.send for socket in self.sockets]
        for item, send in zip(islice(cycle(items), count), cycle(sends), strict=False):
            send(dumps(item, _PROTOCOL))

    def close(self) -> None:
        self.context.destroy(linger=-1)  # waits until everything is sent


class _Receiver(Receiver):
    def __init__(self, zmq: Any, address: str, bound: int) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PULL)
        self.socket.setsockopt(zmq.RCVHWM, bound or _HIGH_WATER)
        self.socket.bind(address)
        super().__init__(lambda: pickle.loads(self.socket.recv()))

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        loads, recv = pickle.loads, self.socket.recv
        wrong = int(not right(loads(recv())))
        first = monotonic_ns()
        rounds, rest = divmod(count - 1, SAMPLE_EVERY)
        for _ in repeat(None, rounds):
            for _ in repeat(None, SAMPLE_EVERY - 1):
                item = loads(recv())
            item = loads(recv())
            wrong += not right(item)
        for _ in repeat(None, rest):
            item = loads(recv())
        return Tally(first, monotonic_ns(), wrong)

    def close(self) -> None:
        self.context.destroy(linger=0)


class _LargeReceiver(_Receiver):
    def __init__(self, zmq: Any, address: str, bound: int) -> None:
        super().__init__(zmq, address, bound)
        self.get = lambda: pickle.loads(self.socket.recv(copy=False).buffer)

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        return Receiver.receive(self, count, right)


class _Channel(Channel):
    def __init__(self, zmq: Any, shape: Shape) -> None:
        self.zmq = zmq
        self.shape = shape
        self.folder = tempfile.mkdtemp(prefix="conveyor-bench-")
        self.addresses = [f"ipc://{self.folder}/{index}" for index in range(shape.consumers)]

    def sender(self, index: int) -> Sender:
        return _Sender(self.zmq, self.addresses, self.shape.bound)

    def receiver(self, index: int) -> Receiver:
        kind = _Receiver if self.shape.item_bytes < 1 << 16 else _LargeReceiver
        return kind(self.zmq, self.addresses[index], self.shape.bound)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class ZeroMQ(Rival):
    """`send(pickle.dumps(item))`, and `pickle.loads(recv())`."""

    name = "pyzmq"
    title = "pyzmq PUSH/PULL ipc + pickle"
    distribution = "pyzmq"

    def load(self) -> None:
        optional("zmq")

    def open(self, shape: Shape) -> Channel:
        return _Channel(optional("zmq"), shape)
