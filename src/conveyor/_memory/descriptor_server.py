"""DescriptorServer: hands descriptors of this process to others that may not look at them through /proc.

A receiver that the kernel lets look there needs no help. It does not let anybody look at a process that has
changed its user, or is not dumpable, and nobody with fewer privileges at one with more; and without /proc there is
nowhere to look. A sender that is like this also offers what it sends at a socket. The socket has no file, so that it
is reached after any change of user, and the secret of each offer, which travels in the pickle alone, is the
permission to have it.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import struct
import threading
import time
from array import array
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any

__all__ = ["DescriptorServer", "Offer", "Reach", "reach", "server"]

_SECRET_BYTES = 16
_LOOK_SECONDS = 0.1  # between looks whether anything is still on offer
_CLIENT_SECONDS = 0.5  # for a client that has connected to say what it wants
_ANSWER_SECONDS = 10.0  # for the server to answer: it may be stopped, or busy
_MOST_WAITING = 4096
_MOST_AT_ONCE = 64  # answers between looks
_NO_CAPABILITY = b"0" * 16
# How long the privileged offer what they send if none of their kind has dropped its privileges: one may be about to.
_IN_CASE_SECONDS = 2.0


class Reach(Enum):
    """Who may look at this process's descriptors in /proc."""

    SAME_USER = 0
    SAME_PRIVILEGES = 1
    NOBODY = 2


def reach(is_dumpable: bool) -> Reach:
    """Who may look at this process's descriptors in /proc.

    Args:
        is_dumpable: what the kernel says of this process (PR_GET_DUMPABLE); it is not after a change of user.
    """
    if not is_dumpable:
        return Reach.NOBODY
    try:
        os.stat("/proc/self/fd")  # noqa: PTH116 - quick
        if os.geteuid() == 0 or _credentials("self")[-1] != _NO_CAPABILITY:
            return Reach.SAME_PRIVILEGES
    except OSError:
        return Reach.NOBODY
    return Reach.SAME_USER


def _credentials(process: str) -> tuple[bytes, ...]:
    with open(f"/proc/{process}/status", "rb") as file:  # noqa: PTH123 - quick
        text = file.read()
    return tuple(
        text.partition(word)[2].partition(b"\n")[0] for word in (b"\nUid:", b"\nGid:", b"\nCapPrm:\t")
    )


def _somebody_has_other_privileges() -> bool:
    """Whether another process of this program, or of one by the same interpreter, has."""
    own, program = _credentials("self"), os.readlink("/proc/self/exe")  # noqa: PTH115 - quick
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - quick
        with contextlib.suppress(OSError):  # it has ended
            if os.readlink(f"/proc/{pid}/exe") == program and _credentials(pid) != own:  # noqa: PTH115
                return True
    return False


class Offer:
    """Where descriptors that another process offers can be had."""

    __slots__ = ("address", "count", "secret")

    def __init__(self, address: str, secret: bytes, count: int) -> None:
        self.address = address
        self.secret = secret
        self.count = count

    def __reduce__(self) -> tuple[type[Offer], tuple[str, bytes, int]]:
        return Offer, (self.address, self.secret, self.count)

    def take(self) -> list[int] | None:
        """The descriptors, now of this process; None: the process that offered them has ended, or offers them no more.

        Raises:
            OSError: this process can have no more descriptors.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            try:
                self._ask(connection, _ANSWER_SECONDS)
                connection.settimeout(_ANSWER_SECONDS)
                # Not by recv_fds, which takes flags and does not pass them on.
                space = socket.CMSG_LEN(self.count * array("i").itemsize)
                _, messages, flags, _ = connection.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                return None
        received = array("i")
        for _level, _type, data in messages:
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
        if len(received) == self.count:
            return list(received)
        for fd in received:
            os.close(fd)
        if flags & socket.MSG_CTRUNC:
            raise OSError("no descriptor is left for what was received (see ulimit -n)")
        return None

    def decline(self) -> None:
        """Let the process that offers them know that they have been had another way; it is not waited for."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            self._ask(connection, _CLIENT_SECONDS)

    def _ask(self, connection: socket.socket, seconds: float) -> None:
        # Not by settimeout: then connecting fails at once while very many others wait.
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.connect(self.address)
        connection.sendall(self.secret)


class _OnOffer:
    """What the holder of a secret may have; the arguments are those of `DescriptorServer.offer`."""

    __slots__ = ("_is_over", "_until", "close", "key", "lend")

    def __init__(
        self,
        key: Hashable,
        lend: Callable[[], tuple[object, Sequence[int]]],
        is_over: Callable[[], bool],
        close: Callable[[], object],
        in_case: bool,
    ) -> None:
        self.key = key
        self.lend = lend
        self.close = close
        self._is_over = is_over
        self._until = 0.0 if in_case else math.inf
        self.prolong()

    def prolong(self) -> None:
        """It has been sent once more, or somebody may want it still."""
        self._until = max(self._until, time.monotonic() + _IN_CASE_SECONDS)

    def is_over(self) -> bool:
        """Whether it need not be offered any longer."""
        if self._is_over():
            return True
        if time.monotonic() < self._until:
            return False
        try:
            wanted = _somebody_has_other_privileges()
        except OSError:
            wanted = True
        if wanted:
            self.prolong()
        return not wanted


class _Spare:
    """A descriptor that is given up for a connection when this process may have no more."""

    def __init__(self) -> None:
        self._fd = -1

    def take(self) -> None:
        """Have one, if this process may."""
        if self._fd == -1:
            with contextlib.suppress(OSError):
                self._fd = os.eventfd(0, os.EFD_CLOEXEC)

    def accept(self, listener: socket.socket) -> socket.socket:
        """A connection.

        Raises:
            BlockingIOError: nobody has asked for one.
            OSError: there is no descriptor for it.
        """
        self.take()
        try:
            return listener.accept()[0]
        except BlockingIOError:
            raise
        except OSError:
            self.close()
            return listener.accept()[0]

    def close(self) -> None:
        """Have none any more."""
        fd, self._fd = self._fd, -1  # a child that is forked now must not close it again
        if fd != -1:
            os.close(fd)


class DescriptorServer:
    """Serves what this process offers, by a thread that is there while anything is on offer."""

    def __init__(self) -> None:
        # A signal's handler may offer something, too, in the middle of an offer.
        self._lock: Any = threading.RLock()
        self._on_offer: dict[bytes, _OnOffer] = {}
        self._made: dict[Hashable, Offer] = {}
        self._listener: socket.socket | None = None
        self._spare = _Spare()

    def offer(
        self,
        key: Hashable,
        count: int,
        lend: Callable[[], tuple[object, Sequence[int]]],
        is_over: Callable[[], bool],
        close: Callable[[], object] = int,
        in_case: bool = False,
    ) -> Offer | None:
        """Offer descriptors.

        Args:
            key: what they are of: as long as it is on offer, nothing is added by offering it once more.
            count: how many there are.
            lend: returns, whenever somebody asks, what keeps them open, and them.
            is_over: whether nobody will ask for them any more; asked now and then, false to begin with.
            close: called after that, in another thread.
            in_case: others can have them through /proc, unless they have dropped privileges: it is over, too, when
                nobody has for some time.

        Returns:
            What others can have them by; None if there is no descriptor left for it, or no thread.
        """
        with self._lock:
            if key in self._made:
                self._on_offer[self._made[key].secret].prolong()
                return self._made[key]
            if self._listener is None and not self._start():
                return None
            assert self._listener is not None
            secret = os.urandom(_SECRET_BYTES)
            self._on_offer[secret] = _OnOffer(key, lend, is_over, close, in_case)
            self._made[key] = made = Offer(self._listener.getsockname(), secret, count)
            return made

    def withdraw(self, offer: Offer) -> None:
        """It was not sent after all, so that nobody will ask for it: what was to be called after that is."""
        with self._lock:
            found = self._on_offer.pop(offer.secret, None)
            if found is None:
                return
            del self._made[found.key]
        found.close()

    def _start(self) -> bool:
        try:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return False
        try:
            listener.bind(f"\0conveyor-{os.getpid()}-{os.urandom(8).hex()}")
            listener.listen(_MOST_WAITING)
            listener.setblocking(False)
            thread = threading.Thread(
                target=self._serve, args=(listener,), name="conveyor-descriptors", daemon=True
            )
            self._listener = listener
            self._spare.take()
            # Signals are for the program's threads.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                thread.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except (OSError, RuntimeError):  # the interpreter ends: there are no new threads any more
            self._listener = None
            self._spare.close()
            listener.close()
            return False
        return True

    def _serve(self, listener: socket.socket) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while True:
            if poll.poll(1000 * _LOOK_SECONDS):
                try:
                    for _ in range(_MOST_AT_ONCE):
                        self._answer(self._spare.accept(listener))
                except BlockingIOError:
                    pass  # nobody is left
                except OSError:
                    time.sleep(_LOOK_SECONDS)  # no descriptor is: poll would not wait
            with self._lock:
                over = [secret for secret, each in self._on_offer.items() if each.is_over()]
                done = [self._on_offer.pop(secret) for secret in over]
                for each in done:
                    del self._made[each.key]
                last = not self._on_offer
                if last:
                    self._listener = None
                    listener.close()
                    self._spare.close()
            for each in done:
                each.close()
            if last:
                return

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_CLIENT_SECONDS)
            secret = connection.recv(_SECRET_BYTES)
            with self._lock:
                found = self._on_offer.get(secret)
            if found is not None:
                _keeper, fds = found.lend()
                socket.send_fds(connection, [b"d"], list(fds))

    def forget(self) -> None:
        """In a forked child: what its parent offers, its parent serves."""
        self._lock._at_fork_reinit()
        listener, self._listener = self._listener, None
        self._on_offer.clear()
        self._made.clear()
        if listener is not None:
            listener.close()
        self._spare.close()


server = DescriptorServer()
os.register_at_fork(after_in_child=server.forget)
