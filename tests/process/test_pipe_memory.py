"""A pipe is two descriptors until something is sent, and works whoever forks, spawns or dies before that."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, descriptors, finish, thread_asleep, until

import conveyor

duplex = pytest.mark.parametrize("duplex", [True, False])


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:conveyor")


@duplex
def test_unused_it_is_two_descriptors(duplex: bool) -> None:
    with conveyor.Pipe()[0]:  # what the first one of a process makes
        pass
    before = descriptors(), mappings()
    pipes = [conveyor.Pipe(duplex) for _ in range(50)]
    assert (descriptors(), mappings()) == (before[0] + 100, before[1])
    assert not multiprocessing.connection.wait([ends[0] for ends in pipes], 0)
    for one, other in pipes:
        one.close()
        other.close()
    assert (descriptors(), mappings()) == before


@duplex
def test_used_one_way_it_has_memory_for_one_way(duplex: bool) -> None:
    before = descriptors(), mappings()
    one, other = conveyor.Pipe(duplex)
    other.send("there")
    assert multiprocessing.connection.wait([one], 10) == [one]
    assert one.recv() == "there"
    assert (descriptors(), mappings()) == (before[0] + 3, before[1] + 1)
    other.close()
    with pytest.raises(EOFError):
        one.recv()
    one.close()
    assert (descriptors(), mappings()) == before


def answer(end: Any, other: Any, count: int) -> None:
    other.close()
    for _ in range(count):
        end.send(("answer", end.recv()))


@pytest.mark.parametrize("used", [0, 1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_both_processes_have_the_same(method: str, used: int) -> None:
    context = multiprocessing.get_context(method)
    one, other = conveyor.Pipe()
    for n in range(used):
        here, there = ((one, other), (other, one))[n]
        here.send(n)
        assert there.recv() == n
    with crew() as members:
        members.append(context.Process(target=answer, args=(other, one, 20)))
        members[0].start()
        other.close()
        for n in range(20):
            one.send(n)
            assert one.recv() == ("answer", n)
        with pytest.raises(EOFError):
            one.recv()
        finish(members[0])
    one.close()


@duplex
def test_death_is_told_before_anything_was_sent(duplex: bool) -> None:
    reading, writing = conveyor.Pipe(duplex)
    child = os.fork()
    if child == 0:
        reading.close()
        signal.pause()
    writing.close()
    assert not reading.poll(0)
    os.kill(child, signal.SIGKILL)
    assert multiprocessing.connection.wait([reading], 30) == [reading]
    with pytest.raises(EOFError):
        reading.recv()
    os.waitpid(child, 0)
    reading.close()


@duplex
def test_nobody_reads_what_was_never_used(duplex: bool) -> None:
    reading, writing = conveyor.Pipe(duplex)
    child = os.fork()
    if child == 0:
        writing.close()
        signal.pause()
    reading.close()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(BrokenPipeError):
        writing.send(1)
    writing.close()


def test_grandchildren_and_siblings() -> None:
    reading, writing = conveyor.Pipe(False)
    for n in range(2):
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            if grandchild == 0:
                writing.send(("grandchild", n))
                os._exit(0)
            os.waitpid(grandchild, 0)
            writing.send(("child", n))
            os._exit(0)
        os.waitpid(child, 0)
    writing.close()
    received = [reading.recv() for _ in range(4)]
    assert received == [("grandchild", 0), ("child", 0), ("grandchild", 1), ("child", 1)]
    with pytest.raises(EOFError):
        reading.recv()
    reading.close()


def test_threads_that_are_the_first_to_use_it_meet() -> None:
    for _ in range(100):
        one, other = conveyor.Pipe()
        start = threading.Barrier(4)
        received: list[int] = []

        def send(n: int, end: Any = one, start: Any = start) -> None:
            start.wait()
            end.send(n)

        def receive(end: Any = other, start: Any = start, received: Any = received) -> None:
            start.wait()
            received.append(end.recv())

        threads = [threading.Thread(target=send, args=(n,)) for n in range(2)]
        threads += [threading.Thread(target=receive) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert sorted(received) == [0, 1]
        one.close()
        other.close()


def test_closing_ends_the_first_call() -> None:
    one, other = conveyor.Pipe()
    errors: list[BaseException] = []
    thread_id: list[int] = []

    def receive() -> None:
        thread_id.append(threading.get_native_id())
        try:
            one.recv()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    until(lambda: thread_id and thread_asleep(thread_id[0]), "it waits")
    one.close()
    thread.join(30)
    assert len(errors) == 1
    with pytest.raises(OSError, match="is closed"):
        one.recv()
    other.close()


def test_a_pipe_through_a_pipe() -> None:
    one, other = conveyor.Pipe()
    inner = conveyor.Pipe()
    one.send(inner[1])
    received = other.recv()
    inner[0].send("there")
    assert received.recv() == "there"
    received.send("back")
    assert inner[0].recv() == "back"
    for end in (one, other, *inner, received):
        end.close()


def test_without_descriptors_at_a_fork_both_processes_are_told() -> None:
    one, other = conveyor.Pipe()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    child = -1
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(one.fileno(), other.fileno()) + 1, limits[1]))
    holes: list[int] = []
    try:
        while True:
            try:
                holes.append(os.dup(one.fileno()))
            except OSError:
                break
        child = os.fork()
    finally:
        if child != 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for fd in holes:
                os.close(fd)
    if child == 0:
        try:
            other.recv()
        except OSError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(OSError, match="open files"):
        one.send(1)
    one.close()
    other.close()
