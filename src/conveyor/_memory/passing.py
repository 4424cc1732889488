"""How descriptors go to a child that is being started by spawn or forkserver.

A child that is spawned inherits any number of them. To a fork server they are sent with the request, in one message,
which takes some 250, and `multiprocessing` raises "too many fds" for more. So after the first hundred the others go
into a parcel: a socket whose other end is among the first, and into which they are sent beforehand. The kernel keeps
them until the child has taken them out, whatever becomes of this process. What stands on one descriptor, as all small
locks and values do, sends it once.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Any, Protocol

__all__ = ["Descriptor", "close_parcels", "descriptor_for_child", "shared_descriptor_for_child"]

# Descriptors that are sent with the request itself; the rest of its room is left to others.
_MOST_DIRECT = 100
_MARK = b"."  # a message must have a byte; one with a descriptor is received by itself


class Descriptor(Protocol):
    """A file descriptor on its way to another process (what `multiprocessing.reduction.DupFd` makes)."""

    def detach(self) -> int:
        """The descriptor's number in this process, which now owns it."""
        ...


class Parcel:
    """The sending end, for one child."""

    def __init__(self, popen: Any) -> None:
        import socket  # not with conveyor itself: it takes long
        from multiprocessing import reduction

        self._popen = weakref.ref(popen)
        self._socket, self._other = socket.socketpair()
        self._socket.setblocking(False)
        # By what the child finds the other end.
        self.address: Descriptor = reduction.DupFd(self._other.fileno())
        self._numbers: dict[int, int] = {}  # of descriptors that others may have, too
        self._count = 0

    def send(self, fd: int, shared: bool) -> ParcelDescriptor | None:
        """Put it in; None if the parcel is full."""
        from socket import send_fds

        number = self._numbers.get(fd) if shared else None
        if number is None:
            try:
                send_fds(self._socket, [_MARK], [fd])
            except BlockingIOError:
                return None
            number = self._count
            self._count += 1
            if shared:
                self._numbers[fd] = number
        return ParcelDescriptor(self.address, number)

    def is_for(self, popen: Any) -> bool:
        return self._popen() is popen

    def is_done(self) -> bool:
        """Whether the child has been asked for, or never will be."""
        popen = self._popen()
        return popen is None or getattr(popen, "sentinel", None) is not None

    def close(self) -> None:
        self._socket.close()
        self._other.close()


class ParcelDescriptor:
    """A descriptor in a parcel."""

    __slots__ = ("_address", "_number")

    def __init__(self, address: Descriptor, number: int) -> None:
        self._address = address
        self._number = number

    def detach(self) -> int:
        """The descriptor's number in this process, which now owns it."""
        address = self._address.detach()
        contents = _opened.get(address)
        if contents is None:
            contents = _opened[address] = _open(address)
        return contents[self._number]

    def __reduce__(self) -> tuple[Any, ...]:
        return ParcelDescriptor, (self._address, self._number)


# In the child: what was in each, by the number of the descriptor that led to it. That stays open, so that the number
# stands for nothing else.
_opened: dict[int, list[int]] = {}


def _open(address: int) -> list[int]:
    import socket

    # All was sent before this process was asked for.
    contents: list[int] = []
    with socket.socket(fileno=os.dup(address)) as receiving:
        receiving.setblocking(False)
        while True:
            try:
                mark, fds, flags, _ = socket.recv_fds(receiving, len(_MARK), 1)
            except BlockingIOError:
                break
            if not mark:
                break
            if not fds or flags & socket.MSG_CTRUNC:
                raise OSError(
                    f"this process may not have as many descriptors as it was given (ulimit -n): {len(contents)} fitted"
                )
            contents += fds
    return contents


# In the parent: until the child has been asked for.
_parcels: list[Parcel] = []


def close_parcels() -> None:
    """Close those that have been handed over."""
    for parcel in list(_parcels):
        if parcel.is_done():
            _parcels.remove(parcel)
            parcel.close()


@atexit.register
def _close_all() -> None:
    while _parcels:
        _parcels.pop().close()


def descriptor_for_child(fd: int) -> Descriptor:
    """A descriptor for the child being started, which becomes its receiver's own."""
    return _descriptor(fd, shared=False)


def shared_descriptor_for_child(fd: int) -> Descriptor:
    """The same for one that others in the same pickle may have, too: the child has it once, by one number.

    A spawned child inherits descriptors by number, and passing one number twice is an error there.
    """
    return _descriptor(fd, shared=True)


def _descriptor(fd: int, shared: bool) -> Descriptor:
    from multiprocessing import reduction
    from multiprocessing.context import get_spawning_popen

    popen: Any = get_spawning_popen()
    direct: list[int] = getattr(popen, "_fds", [])
    # If it is one of a fork server's, it is loaded; a process without privileges may not be able to import it any more.
    served: Any = sys.modules.get("multiprocessing.popen_forkserver")
    if served is None or not isinstance(popen, served.Popen):
        # All others (spawn's, loky's) have a child that inherits them by number.
        if shared and fd in direct:
            descriptor: Descriptor = popen.DupFd(fd)
            return descriptor
        return reduction.DupFd(fd)
    # The child is sent its descriptors and numbers them itself.
    if shared and fd in direct:
        again: Descriptor = popen.DupFd(direct.index(fd))
        return again
    if len(direct) < _MOST_DIRECT:
        return reduction.DupFd(fd)
    close_parcels()
    for parcel in reversed(_parcels):
        if parcel.is_for(popen) and (sent := parcel.send(fd, shared)) is not None:
            return sent
    parcel = Parcel(popen)
    _parcels.append(parcel)
    if (sent := parcel.send(fd, shared)) is None:
        raise OSError("a new socket takes no descriptor")
    return sent
