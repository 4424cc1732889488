"""How shared memory travels inside a pickle: a queue's segment, or a region.

Three ways, each an object with `open()`:

* what is named travels as its name;
* to a process that is being started (spawn, forkserver), the descriptors themselves are inherited,
  as `multiprocessing` does it for connections: nothing can get lost on the way;
* anywhere else (another queue, Pool arguments) goes a hint where a living process holds the
  descriptors; the receiver opens them through /proc. The sender keeps its own until somebody has
  received the handle, so it may drop the queue at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ._native import (
    Region,
    Segment,
    _is_alive,  # pyright: ignore[reportPrivateUsage]
)
from .errors import SegmentGone

__all__ = [
    "Descriptor",
    "Reference",
    "RegionReference",
    "duplicate_for_child",
    "forget_received",
    "reference_to",
    "reference_to_region",
]

M = TypeVar("M", bound=Segment | Region)
M_co = TypeVar("M_co", bound=Segment | Region, covariant=True)


class Descriptor(Protocol):
    """A file descriptor on its way to another process (what `multiprocessing.reduction.DupFd` makes)."""

    def detach(self) -> int:
        """The descriptor's number in this process, which now owns it."""
        ...


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
        return self.opener.attach([each.detach() for each in self.descriptors])

    def __reduce__(self) -> tuple[Any, ...]:
        return InheritedReference, (self.opener, *self.descriptors)


class HintReference(Generic[M]):
    """Where a living process holds the descriptors."""

    __slots__ = ("fds", "identity", "opener", "owner")

    def __init__(self, opener: _Opener[M], identity: tuple[int, int], owner: int, *fds: int) -> None:
        self.opener = opener
        self.identity = identity
        self.owner = owner
        self.fds = fds

    def open(self) -> M:
        forget_received()
        found = self.opener.find_or_attach(self.identity, self.owner, self.fds)
        if found is None:
            raise SegmentGone(self._why_not_found((self.owner >> 1) & 0x3FFFFF))
        found.export_end()
        forget_received()
        return found

    def _why_not_found(self, pid: int) -> str:
        try:
            os.readlink(f"/proc/{pid}/fd/{self.fds[0]}")  # noqa: PTH115
        except PermissionError:
            if _is_alive(self.owner):
                return (
                    f"what this pickle leads to cannot be reached: process {pid}, which sent it, lives, but this "
                    f"process may not look at its descriptors, since one of the two has changed its user (setuid); "
                    f"hand it over as an argument of Process, or before the change, or use something named"
                )
        except OSError:
            pass
        return self.opener.gone(pid)

    def __reduce__(self) -> tuple[Any, ...]:
        return HintReference, (self.opener, self.identity, self.owner, *self.fds)


# Sent but not yet received: their descriptors must stay open for the receiver to find.
_sent: list[Segment | Region] = []


def forget_received() -> None:
    """Let go of that whose every pickled handle has been received."""
    if _sent:
        _sent[:] = [each for each in _sent if each.exports]


def duplicate_for_child(fd: int) -> Descriptor:
    """A descriptor for the child being started; the same descriptor twice is passed once.

    A spawned child inherits descriptors by number, and passing one number twice is an error there.
    """
    from multiprocessing import popen_forkserver, reduction
    from multiprocessing.context import get_spawning_popen

    popen: Any = get_spawning_popen()
    # A forkserver's child is sent its descriptors and numbers them itself; all others (spawn's, loky's)
    # inherit them by number.
    if not isinstance(popen, popen_forkserver.Popen) and fd in getattr(popen, "_fds", ()):
        descriptor: Descriptor = popen.DupFd(fd)
        return descriptor
    return reduction.DupFd(fd)


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
        return InheritedReference(opener, *map(duplicate_for_child, fds()))
    forget_received()
    memory.export_begin()
    if not any(kept is memory for kept in _sent):
        _sent.append(memory)
    return HintReference(opener, memory.identity, memory.owner, *fds())
