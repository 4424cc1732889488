"""How what is `share_memory_()`d stays shared through a queue: as a hint at where a living process holds its memory.

A hint is good for any number of readings, as an item under lease may have: as long as the sender has the storage.
Until the item has been read for the first time the sender also keeps the memory itself, and the reader says when it
has it; so the sender may drop the tensor at once. Torch's own handle can be had only once.
"""

from __future__ import annotations

import importlib
import os
import threading
from functools import partial
from typing import Any

from .._native import _is_alive, _own_owner, reading_of_item, unless_put  # pyright: ignore[reportPrivateUsage]
from ..errors import SegmentGone
from .descriptor_server import Offer, server
from .owner import pid_of

__all__ = ["reduce_shared"]

# Any: type checkers pass over this file where torch is not installed, too.
_torchs: Any = importlib.import_module("torch.multiprocessing.reductions")

Identity = tuple[int, int]
"""A file's inode and device, as torch's cache of storages has them."""


class _Kept:
    """A descriptor of a storage's memory, for as many items as it was sent in and nobody has read yet."""

    def __init__(self, fd: int, identity: Identity) -> None:
        self.fd = os.dup(fd)
        self.identity = identity
        self.items = 0

    def drop(self) -> None:
        """One of them needs it no more."""
        with _lock:
            self.items -= 1
            if self.items == 0:
                del _kept[self.identity]
                os.close(self.fd)


_lock: Any = threading.RLock()  # a signal's handler may put something, too
_kept: dict[Identity, _Kept] = {}


def _forget() -> None:
    # In a forked child: what its parent has sent, its parent keeps.
    _lock._at_fork_reinit()
    for kept in _kept.values():
        os.close(kept.fd)
    _kept.clear()


os.register_at_fork(after_in_child=_forget)


def _offer(fd: int, identity: Identity) -> tuple[int, Offer]:
    with _lock:
        kept = _kept.get(identity)
        if kept is None:
            kept = _kept[identity] = _Kept(fd, identity)
        kept.items += 1
    taken: list[bool] = []

    def lend() -> tuple[object, tuple[int]]:
        taken.append(True)
        return kept, (kept.fd,)

    offer = server.offer(object(), 1, lend, lambda: bool(taken), kept.drop)
    if offer is None:
        kept.drop()
        raise OSError("no descriptor or thread is left to keep a tensor's shared memory by (see ulimit -n)")
    unless_put(partial(server.withdraw, offer))
    return kept.fd, offer


def reduce_shared(storage: Any) -> Any:
    """What a storage in shared memory is pickled as, of torch's strategy `file_descriptor`.

    Raises:
        OSError: this process can have no more descriptors, or threads.
    """
    fd, size = storage._share_fd_cpu_()
    identity: Identity = _torchs.fd_id(fd)
    _torchs.shared_cache[identity] = _torchs.StorageWeakRef(storage)
    kept, offer = _offer(fd, identity)
    return _attach, (type(storage), size, identity, _own_owner(), (fd, kept), offer)


# -- where it arrives -----------------------------------------------------------------------------------------


def _attach(type_: Any, size: int, identity: Identity, owner: int, fds: tuple[int, ...], offer: Offer) -> Any:
    storage = _torchs.storage_from_cache(type_, identity)
    has_asked = False
    if storage is None:
        found = _looked_up(identity, owner, fds)
        if found is None:
            has_asked = True
            found = _asked_for(identity, offer)
        if found is None:
            raise SegmentGone(_why_gone(owner))
        try:
            storage = type_._new_shared_fd_cpu(found, size)
        finally:
            os.close(found)
        _torchs.shared_cache[identity] = _torchs.StorageWeakRef(storage)
    if not has_asked and reading_of_item() != "look":
        offer.decline()
    return storage


def _looked_up(identity: Identity, owner: int, fds: tuple[int, ...]) -> int | None:
    """A descriptor of the memory, by the sender's own: the storage's, or what is kept until it was read."""
    if not _is_alive(owner):
        return None
    for fd in fds:
        path = f"/proc/{pid_of(owner)}/fd/{fd}"
        try:
            seen = os.stat(path)  # noqa: PTH116 - before it is opened: by now that may be anything
            if (seen.st_ino, seen.st_dev) != identity:
                continue
            found = _checked(os.open(path, os.O_RDWR | os.O_CLOEXEC), identity)
        except OSError:
            continue
        if found is not None:
            return found
    return None


def _asked_for(identity: Identity, offer: Offer) -> int | None:
    """A descriptor of the memory, by what the sender keeps; that is over then."""
    taken = offer.take()
    return None if taken is None else _checked(taken[0], identity)


def _checked(fd: int, identity: Identity) -> int | None:
    if _torchs.fd_id(fd) == identity:
        return fd
    os.close(fd)
    return None


def _why_gone(owner: int) -> str:
    pid = pid_of(owner)
    if _is_alive(owner):
        what = f"process {pid}, which put it, lives, and has dropped the tensor since the item was first read"
    else:
        what = f"process {pid}, which put it, has ended"
    return (
        f"the shared memory of a tensor in this item is gone: {what}; keep the tensor there for as long as the item "
        "may be read, or send its value: put tensor.clone(), or use a named queue (conveyor.connect('shm://name'))"
    )
