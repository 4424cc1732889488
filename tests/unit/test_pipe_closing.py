"""A Connection that one thread closes while another is in a call on it: that call ends, and touches nothing foreign."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conveyor import Pipe

PROMPTLY = 5.0  # seconds; a machine that is busy needs some of them
MORE_THAN_FITS = b"x" * (3 << 20)

RECEIVING: dict[str, Callable[[Any], Any]] = {
    "recv": lambda end: end.recv(),
    "recv_bytes": lambda end: end.recv_bytes(),
    "poll": lambda end: end.poll(None),
    "poll with a timeout": lambda end: end.poll(60),
}
SENDING: dict[str, Callable[[Any], Any]] = {
    "send": lambda end: end.send(MORE_THAN_FITS),
    "send_bytes": lambda end: end.send_bytes(MORE_THAN_FITS),
    "many small": lambda end: [end.send(number) for number in range(10**7)],
}


class Caller:
    """A thread inside a call, and how it ended."""

    def __init__(self, call: Callable[[Any], Any], end: Any) -> None:
        self.error: BaseException | None = None
        self._call, self._end = call, end
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        while not self._sleeps():
            time.sleep(0.001)

    def _run(self) -> None:
        try:
            self._call(self._end)
        except BaseException as error:
            self.error = error

    def _sleeps(self) -> bool:
        where = Path(f"/proc/self/task/{self.thread.native_id}/syscall").read_text().split()[0]
        return where in {"7", "271", "73", "202", "98"}  # poll, ppoll, futex: of x86-64 and aarch64

    def is_told(self) -> None:
        self.thread.join(PROMPTLY)
        assert not self.thread.is_alive(), "it hangs"
        assert isinstance(self.error, OSError), self.error
        assert "handle is closed" in str(self.error)


def number_of(end: Any) -> int:
    return int(end.fileno())


@pytest.mark.parametrize("duplex", [True, False])
@pytest.mark.parametrize("call", RECEIVING)
def test_whoever_receives_is_told(call: str, duplex: bool) -> None:
    end, other = Pipe(duplex)
    caller = Caller(RECEIVING[call], end)
    end.close()
    caller.is_told()
    other.close()


@pytest.mark.parametrize("duplex", [True, False])
@pytest.mark.parametrize("call", SENDING)
def test_whoever_sends_is_told(call: str, duplex: bool) -> None:
    other, end = Pipe(duplex)
    caller = Caller(SENDING[call], end)
    end.close()
    caller.is_told()
    other.close()


def test_the_number_stands_for_nothing_else_until_the_call_is_over() -> None:
    """What comes over a pipe that gets the closed one's number is nobody's but its reader's."""
    for _ in range(50):
        end, other = Pipe(duplex=True)
        number = number_of(end)
        caller = Caller(RECEIVING["recv"], end)
        end.close()
        reading, writing = os.pipe()
        os.write(writing, b"foreign bytes")
        caller.is_told()
        assert os.read(reading, 100) == b"foreign bytes"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number if number not in (reading, writing) else -1)
        os.close(reading)
        os.close(writing)
        other.close()


def test_several_that_wait_at_several_ends() -> None:
    pipes = [Pipe() for _ in range(5)]
    callers = [Caller(RECEIVING["recv"], end) for end, _ in pipes for _ in range(2)]
    for index in (3, 0, 4, 1, 2):
        pipes[index][0].close()
        for caller in callers[2 * index : 2 * index + 2]:
            caller.is_told()
    for _, other in pipes:
        other.close()


def test_the_others_go_on() -> None:
    closed, other = Pipe()
    end, peer = Pipe()
    received: list[Any] = []
    waiting = Caller(lambda it: received.append(it.recv()), end)
    caller = Caller(RECEIVING["recv"], closed)
    closed.close()
    caller.is_told()
    peer.send("still here")
    waiting.thread.join(PROMPTLY)
    assert received == ["still here"]
    for each in (other, end, peer):
        each.close()


def test_the_peer_sees_the_end_at_once() -> None:
    end, other = Pipe()
    caller = Caller(RECEIVING["recv"], end)
    end.close()
    caller.is_told()
    with pytest.raises(EOFError):
        other.recv()
    with pytest.raises(BrokenPipeError):
        other.send(1)
    other.close()


def test_with_no_descriptor_left() -> None:
    import resource

    end, other = Pipe()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, before[1]))  # noqa: PTH208
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        thread_error: list[BaseException] = []

        def receive() -> None:
            try:
                end.recv()
            except BaseException as error:
                thread_error.append(error)

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        end.close()  # before the wait, or in it: both must do
        thread.join(PROMPTLY)
        assert isinstance(thread_error[0], OSError)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    other.close()
