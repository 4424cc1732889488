"""Processes in new pid namespaces (`unshare` and fork, as sandboxes do): nothing is taken from the living, in either
direction, what the dead held comes back, and what was left by an exit stays; with no descriptor left, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_normal_end import Things, check_what_nobody_else_can_give_back

from conveyor import Empty

CLONE_NEWPID = 0x20000000
BRIEFLY = 0.3
_libc = ctypes.CDLL(None, use_errno=True)


def may_unshare() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if _libc.unshare(CLONE_NEWPID) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0


pytestmark = pytest.mark.skipif(not may_unshare(), reason="no right to make a pid namespace")


def forked(function: Callable[..., object], *arguments: Any) -> int:
    """A process that ends with 0 if the function returns, 1 if it raises; its pid."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return child


def in_new_namespace(function: Callable[..., object], *arguments: Any) -> None:
    """In the calling process, whose children are in new namespaces from now on: the function as the first of them."""
    assert _libc.unshare(CLONE_NEWPID) == 0

    def first() -> None:
        assert os.getpid() == 1
        function(*arguments)

    code = os.waitstatus_to_exitcode(os.waitpid(forked(first), 0)[1])
    if code < 0:
        os.kill(os.getpid(), -code)
    assert code == 0


def wait_for(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Held:
    """All of these things, held by this process, until `let_go`."""

    def __init__(self, things: Things) -> None:
        for lock in things.locks():
            lock.acquire()
        things.tasks.get()
        self._blocks = contextlib.ExitStack()
        self._blocks.enter_context(things.leased.lease())
        self._blocks.enter_context(things.produced.producing())
        self._blocks.enter_context(things.shared.update("key"))
        things.produced.put("produced")

    def let_go(self) -> None:
        self._blocks.close()


def take_nothing(things: Things) -> None:
    """They are held by somebody who lives."""
    assert [lock.acquire(timeout=BRIEFLY) for lock in things.locks()] == [False] * 5
    assert things.tasks.join(timeout=BRIEFLY) is False
    with pytest.raises(Empty):
        things.leased.get(timeout=BRIEFLY)
    assert things.produced.get(timeout=5) == "produced"
    with pytest.raises(Empty):  # and not ProducerLost
        things.produced.get(timeout=BRIEFLY)
    things.produced.put("produced")
    with pytest.raises(TimeoutError), things.shared.updating("key", timeout=BRIEFLY):
        pass


def take_all(things: Things) -> None:
    """They were held by somebody who was killed."""
    for lock in (things.lock, things.semaphore, things.bounded, things.rlock):
        assert lock.acquire(timeout=30) is True
        assert lock.recovered
        lock.release()
    with things.value.get_lock():
        pass
    assert things.tasks.join(timeout=30) is True
    check_what_nobody_else_can_give_back(things)


def take_what_an_exit_leaves(things: Things) -> None:
    assert [lock.acquire(timeout=BRIEFLY) for lock in things.locks()] == [False] * 5
    assert things.tasks.join(timeout=BRIEFLY) is False
    check_what_nobody_else_can_give_back(things)


def hold_and_end(things: Things, death: bool) -> None:
    held = Held(things)
    if death and os.getpid() == 1:
        die_as_first()
    if death:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)
    held.let_go()  # never: it is held to the end


def die_as_first() -> None:
    """Nobody in its namespace can kill its first process: somebody outside does."""
    os.write(_doomed, b"x")
    signal.pause()


_doomed = -1


class Doomed:
    """Kills a process when it asks for it, from outside of its namespace."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()

    def __enter__(self) -> Doomed:
        global _doomed
        _doomed = self.writing
        return self

    def kill(self, parent: int) -> None:
        os.read(self._reading, 1)
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        os.close(self.writing)


def test_nothing_is_taken_from_a_living_parent() -> None:
    things = Things()
    held = Held(things)
    assert wait_for(forked(in_new_namespace, take_nothing, things)) == 0
    held.let_go()


def test_what_a_killed_child_held_comes_back() -> None:
    things = Things()
    with Doomed() as doomed:
        parent = forked(in_new_namespace, hold_and_end, things, True)
        doomed.kill(parent)
        assert wait_for(parent) == -signal.SIGKILL
    take_all(things)


def test_what_a_child_leaves_by_an_exit_stays() -> None:
    things = Things()
    assert wait_for(forked(in_new_namespace, hold_and_end, things, False)) == 0
    take_what_an_exit_leaves(things)


@pytest.mark.parametrize("death", [True, False])
def test_by_a_sibling_in_another_new_namespace(death: bool) -> None:
    """Both are number 1."""
    things = Things()
    with Doomed() as doomed:
        parent = forked(in_new_namespace, hold_and_end, things, death)
        if death:
            doomed.kill(parent)
        assert wait_for(parent) == (-signal.SIGKILL if death else 0)
    take = take_all if death else take_what_an_exit_leaves
    assert wait_for(forked(in_new_namespace, take, things)) == 0


def hold_until(things: Things, ready: int, go_on: int) -> None:
    held = Held(things)
    os.write(ready, b"x")
    os.read(go_on, 1)
    held.let_go()


def test_nothing_is_taken_from_a_living_sibling_or_child() -> None:
    things = Things()
    is_ready, ready = os.pipe()
    go_on, go = os.pipe()
    holder = forked(in_new_namespace, hold_until, things, ready, go_on)
    os.read(is_ready, 1)
    take_nothing(things)
    assert wait_for(forked(in_new_namespace, take_nothing, things)) == 0
    os.write(go, b"x")
    assert wait_for(holder) == 0
    for fd in (is_ready, ready, go_on, go):
        os.close(fd)


def hold_beside_a_child(things: Things, ready: int) -> None:
    """Its child, in a new namespace, outlives it."""
    assert _libc.unshare(CLONE_NEWPID) == 0
    go_on, go = os.pipe()

    def child() -> None:
        os.close(go)
        os.read(go_on, 1)  # until the parent has ended
        os.write(ready, b"x" if wait_for(forked(take_all, things)) == 0 else b"-")

    forked(child)
    Held(things)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_parent_held_comes_back_in_the_child() -> None:
    things = Things()
    is_ready, ready = os.pipe()
    assert wait_for(forked(hold_beside_a_child, things, ready)) == -signal.SIGKILL
    assert os.read(is_ready, 1) == b"x"
    os.close(is_ready)
    os.close(ready)


# -- with no descriptor left -------------------------------------------------------------------------------


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(2))
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(2)
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def without_descriptors(take: Callable[[Things], None], things: Things) -> None:
    with no_descriptor_left():
        take(things)


@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("death", [True, False])
def test_with_no_descriptor_left_the_dead_are_told_from_the_living(death: bool, namespace: bool) -> None:
    things = Things()
    with Doomed() as doomed:
        if namespace:
            holder = forked(in_new_namespace, hold_and_end, things, death)
            if death:
                doomed.kill(holder)
        else:
            holder = forked(hold_and_end, things, death)
        assert wait_for(holder) == (-signal.SIGKILL if death else 0)
    take = take_all if death else take_what_an_exit_leaves
    assert wait_for(forked(without_descriptors, take, things)) == 0


def test_with_no_descriptor_left_nothing_is_taken_from_the_living() -> None:
    things = Things()
    held = Held(things)
    assert wait_for(forked(without_descriptors, take_nothing, things)) == 0
    assert wait_for(forked(in_new_namespace, without_descriptors, take_nothing, things)) == 0
    held.let_go()


def hold_and_die_without_descriptors(things: Things) -> None:
    with no_descriptor_left():
        hold_and_end(things, True)


def test_who_had_no_descriptor_left_is_known_to_be_dead() -> None:
    things = Things()
    assert wait_for(forked(hold_and_die_without_descriptors, things)) == -signal.SIGKILL
    take_all(things)
