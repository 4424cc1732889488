"""How a queue's shared memory travels inside a pickle.

Three ways, each an object with `open() -> Segment`:

* a named segment travels as its name;
* to a process that is being started (spawn, forkserver), the descriptors themselves are inherited,
  as `multiprocessing` does it for connections: nothing can get lost on the way;
* anywhere else (another queue, Pool arguments) goes a hint where a living process holds the
  descriptors; the receiver opens them through /proc. The sender keeps its own until somebody has
  received the handle, so it may drop the queue at once.
"""

from __future__ import annotations

from typing import Any, Protocol

from ._native import Segment
from .errors import SegmentGone

__all__ = ["Descriptor", "Reference", "duplicate_for_child", "forget_received", "reference_to"]


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


class NameReference:
    """A named segment, by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def open(self) -> Segment:
        return Segment.open_named(self.name)

    def __reduce__(self) -> tuple[type[NameReference], tuple[str]]:
        return NameReference, (self.name,)


class InheritedReference:
    """Descriptors handed to a child while it is being started."""

    __slots__ = ("memory", "ready")

    def __init__(self, memory: Descriptor, ready: Descriptor) -> None:
        self.memory = memory
        self.ready = ready

    def open(self) -> Segment:
        return Segment.attach(self.memory.detach(), self.ready.detach())

    def __reduce__(self) -> tuple[type[InheritedReference], tuple[Descriptor, Descriptor]]:
        return InheritedReference, (self.memory, self.ready)


class HintReference:
    """Where a living process holds the descriptors."""

    __slots__ = ("identity", "memory_fd", "owner", "ready_fd")

    def __init__(self, identity: tuple[int, int], owner: int, memory_fd: int, ready_fd: int) -> None:
        self.identity = identity
        self.owner = owner
        self.memory_fd = memory_fd
        self.ready_fd = ready_fd

    def open(self) -> Segment:
        forget_received()
        segment = Segment.find_or_attach(self.identity, self.owner, self.memory_fd, self.ready_fd)
        if segment is None:
            pid = (self.owner >> 1) & 0x3FFFFF
            raise SegmentGone(
                f"the queue in this pickle is gone: process {pid}, which sent it, has ended or closed it "
                f"before it was received; keep the sender alive until then, or use a named queue "
                f"(conveyor.connect('shm://name'))"
            )
        segment.export_end()
        return segment

    def __reduce__(self) -> tuple[type[HintReference], tuple[tuple[int, int], int, int, int]]:
        return HintReference, (self.identity, self.owner, self.memory_fd, self.ready_fd)


# Segments sent but not yet received: their descriptors must stay open for the receiver to find.
_sent: list[Segment] = []


def forget_received() -> None:
    """Let go of segments whose every pickled handle has been received."""
    if _sent:
        _sent[:] = [segment for segment in _sent if segment.exports]


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
    if segment.name:
        return NameReference(segment.name)
    from multiprocessing.context import get_spawning_popen

    if get_spawning_popen() is not None:
        return InheritedReference(
            duplicate_for_child(segment.memory_fd), duplicate_for_child(segment.ready_fd)
        )
    forget_received()
    segment.export_begin()
    if not any(kept is segment for kept in _sent):
        _sent.append(segment)
    return HintReference(segment.identity, segment.owner, segment.memory_fd, segment.ready_fd)
