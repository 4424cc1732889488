"""SystemPoller: waits for the descriptors that a run waits for."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time

__all__ = ["SystemPoller"]

_CLOSED = -1


class SystemPoller:
    """Waits for input, results, deaths, the outlet's reader and wake-ups, whichever is first.

    Args:
        outlet: a descriptor that is written to; told of when its reader has gone, once. None: there is none.
    """

    def __init__(self, outlet: int | None) -> None:
        self._all = select.poll()
        self._urgent = select.poll()  # all but results
        self._sources: set[int] = set()
        self._results: set[int] = set()
        self._quiet: set[int] = set()
        self._outlet = outlet
        if outlet is not None:
            self._all.register(outlet, 0)  # nothing but its end
        # Between a look at the descriptor and its use it must not be closed, and its number be somebody else's. A
        # signal handler may come while its own thread has it.
        self._waking = threading.RLock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        for poll in (self._all, self._urgent):
            poll.register(self._wake_fd, select.POLLIN)

    def add(self, results: int, death: int) -> None:
        """Watch these for being readable, too: where results come, and what tells of a death."""
        self._results.add(results)
        self._all.register(results, select.POLLIN)
        for poll in (self._all, self._urgent):
            poll.register(death, select.POLLIN)

    def remove(self, results: int, death: int) -> None:
        """Watch these no more."""
        self._results.discard(results)
        if results in self._quiet:
            self._quiet.discard(results)
        else:
            self._all.unregister(results)
        for poll in (self._all, self._urgent):
            poll.unregister(death)

    def listen(self, results: int, wanted: bool) -> None:
        """Whether results there are wanted now."""
        if wanted == (results not in self._quiet):
            return
        if wanted:
            self._quiet.discard(results)
            self._all.register(results, select.POLLIN)
        else:
            self._quiet.add(results)
            self._all.unregister(results)

    def set_sources(self, fds: set[int]) -> None:
        """Watch these descriptors as the sources of input that is wanted now."""
        if fds == self._sources:
            return
        for poll in (self._all, self._urgent):
            for fd in self._sources - fds:
                poll.unregister(fd)
            for fd in fds - self._sources:
                poll.register(fd, select.POLLIN)
        self._sources = fds

    def pause(self, seconds: float) -> None:
        """Let time pass, and results come; anything else ends it early, or is found a millisecond later."""
        whole = int(1000 * seconds)
        # poll counts in milliseconds, and would round up what is for many quick items.
        if not self._urgent.poll(whole):
            time.sleep(seconds - whole / 1000)

    def wait(self, seconds: float) -> set[int]:
        """The descriptors that something happened to, within that time; empty if nothing did."""
        found = {fd for fd, _ in self._all.poll(max(1000 * seconds, 0))}
        if self._outlet in found:
            self._all.unregister(self._outlet)  # or it would be told again and again
        if self._wake_fd in found:
            os.eventfd_read(self._wake_fd)
        return found

    def wake(self) -> None:
        """End a wait at once. Safe in a signal handler."""
        with self._waking:
            if self._wake_fd != _CLOSED:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Let go of what it holds; the watched descriptors stay open."""
        with self._waking:
            fd, self._wake_fd = self._wake_fd, _CLOSED
            if fd != _CLOSED:
                os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_wake_fd"):
            self.close()
