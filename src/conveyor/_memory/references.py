"""How shared memory travels inside a pickle: a queue's segment, or a region.

Three ways, each an object with `open()`:

* what is named travels as its name;
* to a process that is being started (spawn, forkserver), the descriptors themselves are inherited,
  as `multiprocessing` does it for connections: nothing can get lost on the way;
* anywhere else (another queue, Pool arguments) goes a hint where a living process holds the
  descriptors; the receiver opens them through /proc. The sender keeps its own until somebody has
  received the handle, so it may drop the queue at once. Where the receiver may be kept from looking
  there (another user's, no /proc), the sender also offers them at a socket.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .._native import Region, Segment, _is_alive, is_dumpable, unless_put  # pyright: ignore[reportPrivateUsage]
from ..errors import SegmentGone
from .owner import pid_of
from .passing import Descriptor, close_parcels, descriptor_for_child, shared_descriptor_for_child

if TYPE_CHECKING:
    from .descriptor_server import Offer

__all__ = [
    "Reference",
    "RegionReference",
    "descriptor_to_send",
    "forget_received",
    "reference_to",
    "reference_to_region",
]

M = TypeVar("M", bound=Segment | Region)
M_co = TypeVar("M_co", bound=Segment | Region, covariant=True)


class Reference(Protocol):
    """Something that travels in a pickle and leads to a segment."""

    def open(self) -> Segment:
        """Attach to the segment in this process."""
        ...


class RegionReference(Protocol):
    """Something that travels in a pickle and leads to a region."""

    def open(self) -> Region:
        """Attach to the region in this process."""
        ...


class Segments:
    """How segments are opened."""

    __slots__ = ()

    def open_named(self, name: str) -> Segment:
        return Segment.open_named(name)

    def attach(self, fds: list[int]) -> Segment:
        return Segment.attach(*fds)

    def find_or_attach(self, identity: tuple[int, int], owner: int, fds: tuple[int, ...]) -> Segment | None:
        return Segment.find_or_attach(identity, owner, *fds)

    def gone(self, pid: int) -> str:
        return (
            f"the queue in this pickle is gone: process {pid}, which sent it, has ended or closed it "
            f"before it was received; keep the sender alive until then, or use a named queue "
            f"(conveyor.connect('shm://name'))"
        )

    def __reduce__(self) -> tuple[type[Segments], tuple[()]]:
        return Segments, ()


class Regions:
    """How regions of one type are opened."""

    __slots__ = ("kind", "layout")

    def __init__(self, kind: str, layout: int) -> None:
        self.kind = kind
        self.layout = layout

    def open_named(self, name: str) -> Region:
        return Region.open_named(name, self.kind, self.layout)

    def attach(self, fds: list[int]) -> Region:
        return Region.attach(fds[0], self.kind, self.layout)

    def find_or_attach(self, identity: tuple[int, int], owner: int, fds: tuple[int, ...]) -> Region | None:
        return Region.find_or_attach(identity, owner, fds[0], self.kind, self.layout)

    def gone(self, pid: int) -> str:
        return (
            f"the {self.kind} in this pickle is gone: process {pid}, which sent it, has ended or dropped it "
            f"before it was received; keep the sender alive until then"
        )

    def __reduce__(self) -> tuple[type[Regions], tuple[str, int]]:
        return Regions, (self.kind, self.layout)


class _Opener(Protocol[M_co]):
    def open_named(self, name: str) -> M_co: ...
    def attach(self, fds: list[int]) -> M_co: ...
    def find_or_attach(self, identity: tuple[int, int], owner: int, fds: tuple[int, ...]) -> M_co | None: ...
    def gone(self, pid: int) -> str: ...


class NameReference(Generic[M]):
    """What is named, by its name."""

    __slots__ = ("name", "opener")

    def __init__(self, opener: _Opener[M], name: str) -> None:
        self.opener = opener
        self.name = name

    def open(self) -> M:
        return self.opener.open_named(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return NameReference, (self.opener, self.name)


class PathReference:
    """A file anywhere, by its path."""

    __slots__ = ("kind", "layout", "path")

    def __init__(self, path: str, kind: str, layout: int) -> None:
        self.path = path
        self.kind = kind
        self.layout = layout

    def open(self) -> Region:
        region = Region.open_file(self.path, self.kind, self.layout)
        region.let_others_in()
        return region

    def __reduce__(self) -> tuple[type[PathReference], tuple[str, str, int]]:
        return PathReference, (self.path, self.kind, self.layout)


class InheritedReference(Generic[M]):
    """Descriptors handed to a child while it is being started."""

    __slots__ = ("descriptors", "opener")

    def __init__(self, opener: _Opener[M], *descriptors: Descriptor) -> None:
        self.opener = opener
        self.descriptors = descriptors

    def open(self) -> M:
        made = self.opener.attach([each.detach() for each in self.descriptors])
        _keep_while_inheriting(made)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return InheritedReference, (self.opener, *self.descriptors)


class HintReference(Generic[M]):
    """Where a living process holds the descriptors."""

    __slots__ = ("fds", "identity", "offer", "opener", "owner")

    def __init__(
        self, opener: _Opener[M], identity: tuple[int, int], owner: int, offer: Offer | None, *fds: int
    ) -> None:
        self.opener = opener
        self.identity = identity
        self.owner = owner
        self.offer = offer
        self.fds = fds

    def open(self) -> M:
        forget_received()
        found = self.opener.find_or_attach(self.identity, self.owner, self.fds)
        if found is None and self.offer is not None and (taken := self.offer.take()) is not None:
            found = self.opener.attach(taken)
        if found is None:
            raise SegmentGone(self._why_not_found(pid_of(self.owner)))
        found.export_end()
        forget_received()
        return found

    def _why_not_found(self, pid: int) -> str:
        if not _is_alive(self.owner):
            return self.opener.gone(pid)
        lives = f"what this pickle leads to cannot be reached: process {pid}, which sent it, lives, but "
        instead = (
            "hand it over as an argument of Process, or use something named (conveyor.connect('shm://name'))"
        )
        try:
            os.readlink(f"/proc/{pid}/fd/{self.fds[0]}")  # noqa: PTH115
        except PermissionError:
            return (
                f"{lives}this process may not look at its descriptors, since one of the two has changed its user "
                f"(setuid), and it does not offer them; {instead}"
            )
        except OSError:
            if not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - as quick as the rest
                return (
                    f"{lives}there is no /proc to look at its descriptors by, and it does not offer them; "
                    f"mount one (mount -t proc proc /proc), or {instead}"
                )
        return self.opener.gone(pid)

    def __reduce__(self) -> tuple[Any, ...]:
        return HintReference, (self.opener, self.identity, self.owner, self.offer, *self.fds)


class OfferedDescriptor:
    """A descriptor, other than of memory, that a living process offers once."""

    __slots__ = ("offer", "pid")

    def __init__(self, offer: Offer, pid: int) -> None:
        self.offer = offer
        self.pid = pid

    def detach(self) -> int:
        taken = self.offer.take()
        if taken is None:
            raise SegmentGone(
                f"the connection in this pickle is gone: process {self.pid}, which sent it, has ended, or somebody "
                f"has received it already; keep the sender alive until then"
            )
        return taken[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return OfferedDescriptor, (self.offer, self.pid)


# Of a process that is being started: what came with it once may be in its pickle again, by the same number.
_arrivals: list[Segment | Region] = []


class _Inheriting:
    """Stands where `multiprocessing` notes that a process is being started, and goes when it has all.

    From then on the process holds only what it has objects of.
    """

    def __del__(self) -> None:
        _arrivals.clear()


def _keep_while_inheriting(made: Segment | Region) -> None:
    process: Any = sys.modules.get("multiprocessing.process")
    if process is None:
        return
    current = process.current_process()
    if hasattr(current, "_inheriting"):
        _arrivals.append(made)
        if not isinstance(current._inheriting, _Inheriting):
            current._inheriting = _Inheriting()


# Sent but not yet received: their descriptors must stay open for the receiver to find.
_sent: list[Segment | Region] = []


def forget_received() -> None:
    """Let go of that whose every pickled handle has been received."""
    close_parcels()
    if _sent:
        _sent[:] = [each for each in _sent if each.exports]


def descriptor_to_send(fd: int, shared: bool = False) -> Descriptor:
    """A descriptor for the pickle that is being made now.

    Args:
        fd: the descriptor.
        shared: others in the same pickle may have it, too: a child that is being started has it once.
    """
    from multiprocessing.context import get_spawning_popen

    if get_spawning_popen() is not None:
        return shared_descriptor_for_child(fd) if shared else descriptor_for_child(fd)
    from .descriptor_server import Reach, reach

    # `multiprocessing` serves it by a socket in a folder of its own, which other users cannot open, nor those
    # who were other users when it was made.
    if reach(is_dumpable()) is not Reach.SAME_USER and (offered := _offer_once(fd)) is not None:
        return offered
    try:
        return descriptor_for_child(fd)
    except PermissionError:
        if (offered := _offer_once(fd)) is None:
            raise
        return offered


def _offer_once(fd: int) -> OfferedDescriptor | None:
    from .descriptor_server import server

    copy = os.dup(fd)
    taken: list[bool] = []

    def lend() -> tuple[None, tuple[int]]:
        taken.append(True)
        return None, (copy,)

    offer = server.offer(object(), 1, lend, lambda: bool(taken), lambda: os.close(copy))
    if offer is not None:
        unless_put(partial(server.withdraw, offer))
        return OfferedDescriptor(offer, os.getpid())
    os.close(copy)
    return None


def reference_to(segment: Segment) -> Reference:
    """A reference to `segment` for the pickle that is being made now."""
    return _reference(Segments(), segment, lambda: (segment.memory_fd, segment.ready_fd))


def reference_to_region(region: Region) -> RegionReference:
    """A reference to `region` for the pickle that is being made now."""
    if region.path:
        return PathReference(region.path, region.kind, region.layout)
    return _reference(Regions(region.kind, region.layout), region, lambda: (region.memory_fd,))


def _reference(
    opener: _Opener[M], memory: M, fds: Callable[[], tuple[int, ...]]
) -> NameReference[M] | InheritedReference[M] | HintReference[M]:
    if memory.name:
        return NameReference(opener, memory.name)
    from multiprocessing.context import get_spawning_popen

    if get_spawning_popen() is not None:
        return InheritedReference(opener, *map(shared_descriptor_for_child, fds()))
    forget_received()
    memory.export_begin()
    unless_put(partial(_take_back, memory))
    if not any(kept is memory for kept in _sent):
        _sent.append(memory)
    numbers = fds()
    return HintReference(opener, memory.identity, memory.owner, _offer(memory, numbers), *numbers)


def _take_back(memory: Segment | Region) -> None:
    memory.export_end()
    forget_received()


def _offer(memory: Segment | Region, fds: tuple[int, ...]) -> Offer | None:
    from .descriptor_server import Reach, reach, server

    seen = reach(is_dumpable())
    if seen is Reach.SAME_USER:
        return None
    kept = weakref.ref(memory)  # what has been received somewhere is kept by nobody's offer

    def lend() -> tuple[object, tuple[int, ...]]:
        memory = kept()
        return memory, (() if memory is None else fds)

    def is_over() -> bool:
        memory = kept()
        return memory is None or memory.exports == 0

    return server.offer(memory.identity, len(fds), lend, is_over, in_case=seen is Reach.SAME_PRIVILEGES)
