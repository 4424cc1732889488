"""Pipe: all that a connection of multiprocessing's has, and what it says when things end."""

from __future__ import annotations

import array
import errno
import gc
import multiprocessing
import multiprocessing.connection
import os
import pickle
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import conveyor

SIZES = [0, 1, 100, 16383, 16384, 16385, 65536, 300_000, 1_000_000]


@pytest.fixture(params=[True, False], ids=["duplex", "simplex"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """(receiving, sending)"""
    receiving, sending = conveyor.Pipe(request.param)
    with receiving, sending:
        yield receiving, sending


def test_which_end_does_what() -> None:
    one, other = conveyor.Pipe()
    for end in (one, other):
        assert (end.readable, end.writable, end.closed) == (True, True, False)
        assert isinstance(end, multiprocessing.connection.Connection)
        end.close()
        end.close()
        assert end.closed
    receiving, sending = conveyor.Pipe(duplex=False)
    with receiving, sending:
        assert (receiving.readable, receiving.writable) == (True, False)
        assert (sending.readable, sending.writable) == (False, True)
        for call in (lambda: receiving.send(1), lambda: receiving.send_bytes(b"1")):
            with pytest.raises(OSError, match="read-only"):
                call()
        into = lambda: sending.recv_bytes_into(bytearray(9))  # noqa: E731
        for call in (sending.recv, sending.recv_bytes, sending.poll, into):
            with pytest.raises(OSError, match="write-only"):
                call()
    for call in (receiving.recv, receiving.fileno, receiving.poll, lambda: sending.send(1)):
        with pytest.raises(OSError, match="closed"):
            call()


def test_objects(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    large = {"large": b"y" * 500_000}
    for item in (None, 0, "text", (1, [2.5, {"a": {3}}]), b"x" * 100, large, ValueError("x")):
        sending.send(item)
        assert receiving.poll()
        received = receiving.recv()
        assert type(received) is type(item)
        assert repr(received) == repr(item)
        assert not receiving.poll()


def test_both_directions() -> None:
    one, other = conveyor.Pipe()
    with one, other:
        for number in range(100):
            one.send(("to other", number))
            other.send(("to one", number))
        for number in range(100):
            assert other.recv() == ("to other", number)
            assert one.recv() == ("to one", number)


def test_bytes(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    for size in SIZES:
        data = os.urandom(size)
        for message in (data, bytearray(data), memoryview(data)):
            sending.send_bytes(message)
            received = receiving.recv_bytes()
            assert type(received) is bytes
            assert received == data
    sending.send_bytes(array.array("i", range(10)))
    assert receiving.recv_bytes() == array.array("i", range(10)).tobytes()
    sending.send_bytes(b"0123456789", 3)
    sending.send_bytes(b"0123456789", 3, 4)
    sending.send_bytes(b"0123456789", offset=10)
    sending.send_bytes(b"0123456789", size=0)
    assert [receiving.recv_bytes() for _ in range(4)] == [b"3456789", b"3456", b"", b""]
    for arguments in ((-1,), (11,), (0, -1), (5, 6)):
        with pytest.raises(ValueError):  # noqa: PT011  (the standard library's texts)
            sending.send_bytes(b"0123456789", *arguments)
    with pytest.raises(TypeError):
        sending.send_bytes("text")
    assert not receiving.poll()


def test_bytes_and_objects_are_pickles_of_each_other(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    for item in ((1, "a"), b"bytes", b"x" * 100_000, {"a": [1.5]}):
        sending.send_bytes(pickle.dumps(item))
        assert receiving.recv() == item
        sending.send(item)
        assert pickle.loads(receiving.recv_bytes()) == item


def test_receiving_into_a_buffer(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    buffer = bytearray(10)
    sending.send_bytes(b"abc")
    assert receiving.recv_bytes_into(buffer) == 3
    sending.send_bytes(b"de")
    assert receiving.recv_bytes_into(buffer, 8) == 2
    assert buffer == b"abc\0\0\0\0\0de"
    numbers = array.array("i", [0] * 5)
    sending.send_bytes(array.array("i", [1, 2, 3]))
    assert receiving.recv_bytes_into(numbers, numbers.itemsize) == 3 * numbers.itemsize
    assert list(numbers) == [0, 1, 2, 3, 0]
    sending.send_bytes(b"x" * 11)
    with pytest.raises(multiprocessing.BufferTooShort) as caught:
        receiving.recv_bytes_into(buffer)
    assert caught.value.args == (b"x" * 11,)
    for offset in (-1, 11):
        with pytest.raises(ValueError):  # noqa: PT011
            receiving.recv_bytes_into(buffer, offset)


def test_a_longest_length(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    sending.send_bytes(b"12345")
    assert receiving.recv_bytes(5) == b"12345"
    with pytest.raises(ValueError, match="maxlength"):
        receiving.recv_bytes(-1)
    sending.send_bytes(b"123456")
    with pytest.raises(OSError, match="bad message length"):
        receiving.recv_bytes(5)


def test_poll(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    assert receiving.poll() is False
    assert receiving.poll(-1) is False
    start = time.monotonic()
    assert receiving.poll(0.05) is False
    assert 0.05 <= time.monotonic() - start < 3
    sending.send_bytes(b"")
    for timeout in (0, 0.0, 10, None, -1):
        assert receiving.poll(timeout) is True
    assert receiving.recv_bytes() == b""
    timer = threading.Thread(target=sending.send, args=(1,))
    timer.start()
    assert receiving.poll(None) is True
    timer.join()


def test_the_descriptor_is_readable_while_something_is_there(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    ready = select.poll()
    ready.register(receiving.fileno(), select.POLLIN)
    for size in (10, 100_000):
        for _ in range(3):
            assert not ready.poll(0)
            assert multiprocessing.connection.wait([receiving], 0) == []
            sending.send(b"x" * size)
            sending.send(b"y" * size)
            for letter in (b"x", b"y"):
                assert ready.poll(0)
                assert multiprocessing.connection.wait([receiving], 0) == [receiving]
                assert receiving.recv() == letter * size
    sending.close()
    assert multiprocessing.connection.wait([receiving], 5) == [receiving]


def test_many_messages_before_any_is_read(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    for number in range(5000):
        sending.send(number)
    assert [receiving.recv() for _ in range(5000)] == list(range(5000))
    assert not receiving.poll()


def test_a_sender_waits_for_its_reader(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    count = 100
    thread = threading.Thread(target=lambda: [sending.send(b"x" * 100_000) for _ in range(count)])
    thread.start()
    for _ in range(count):
        assert receiving.recv() == b"x" * 100_000
    thread.join()


def test_a_message_larger_than_what_may_wait(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    for size in ((1 << 20) + 1, 20_000_000):
        thread = threading.Thread(target=sending.send_bytes, args=(b"x" * size,))
        thread.start()
        assert receiving.recv_bytes() == b"x" * size
        thread.join(10)
        assert not thread.is_alive()


def test_the_end_of_the_other_end(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    sending.send("last")
    sending.send(b"x" * 100_000)
    sending.close()
    assert receiving.poll(None)
    assert [receiving.recv(), receiving.recv()] == ["last", b"x" * 100_000]
    for _ in range(2):
        assert receiving.poll(None)  # that there is nothing more can be received
        for call in (receiving.recv, receiving.recv_bytes, lambda: receiving.recv_bytes_into(bytearray(9))):
            with pytest.raises(EOFError):
                call()


def test_sending_to_nobody(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    sending.send("unread")
    receiving.close()
    for call in (lambda: sending.send(1), lambda: sending.send_bytes(b"x" * 3_000_000)):
        with pytest.raises(BrokenPipeError) as caught:
            call()
        assert caught.value.errno == errno.EPIPE


@pytest.mark.parametrize("duplex", [True, False])
def test_a_blocked_receiver_learns_of_the_end(duplex: bool) -> None:
    receiving, sending = conveyor.Pipe(duplex)
    outcome: list[type[BaseException]] = []

    def receive() -> None:
        try:
            receiving.recv()
        except EOFError as error:
            outcome.append(type(error))

    with receiving:
        thread = threading.Thread(target=receive)
        thread.start()
        sending.close()
        thread.join(10)
        assert outcome == [EOFError]


@pytest.mark.parametrize("duplex", [True, False])
def test_a_blocked_sender_learns_of_the_end(duplex: bool) -> None:
    receiving, sending = conveyor.Pipe(duplex)
    outcome: list[type[BaseException]] = []

    def send() -> None:
        try:
            while True:
                sending.send(b"x" * 100_000)
        except BrokenPipeError as error:
            outcome.append(type(error))

    with sending:
        thread = threading.Thread(target=send)
        thread.start()
        receiving.recv()
        receiving.close()
        thread.join(10)
        assert outcome == [BrokenPipeError]


def test_unpickling_errors_leave_the_next_message(ends: tuple[Any, Any]) -> None:
    receiving, sending = ends
    sending.send_bytes(b"this is no pickle")
    sending.send("next")
    with pytest.raises(pickle.UnpicklingError):
        receiving.recv()
    assert receiving.recv() == "next"


def test_an_end_goes_through_a_pipe_and_a_queue() -> None:
    one, other = conveyor.Pipe()
    receiving, sending = conveyor.Pipe(False)
    queue: conveyor.Queue[Any] = conveyor.Queue()
    with one, other, receiving, sending:
        one.send(sending)
        with other.recv() as received:
            received.send("through a pipe")
        queue.put(sending)
        with queue.get() as received:
            received.send("through a queue")
        queue.put(receiving)
        with queue.get() as received:
            assert received.recv() == "through a pipe"
        assert receiving.recv() == "through a queue"
    from multiprocessing import resource_sharer

    resource_sharer.stop(timeout=10)  # the standard library's thread that hands descriptors out


def test_closing_gives_back_descriptors_and_memory() -> None:
    def belongings() -> tuple[int, int]:
        return (
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            Path("/proc/self/maps").read_text().count("memfd:conveyor"),
        )

    gc.collect()
    before = belongings()
    for duplex in (True, False):
        for _ in range(10):
            one, other = conveyor.Pipe(duplex)
            other.send(b"x" * 200_000)
            one.recv()
            one.close()
            other.close()
            del one, other
        assert belongings() == before
        for _ in range(10):
            conveyor.Pipe(duplex)  # never closed by hand
        assert belongings() == before


def test_the_ends_close_with_their_block() -> None:
    with conveyor.Pipe()[0] as end:
        assert not end.closed
    assert end.closed
