"""What all servers of the tests have in common."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlencode

from .certificates import certificates
from .keeper import keeper
from .proxy import Proxy

__all__ = ["Server", "ServerFailed", "ServerMissing", "program"]

HOST = "127.0.0.1"
# Debian keeps servers where the PATH of an ordinary user does not look.
_MORE_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class ServerMissing(Exception):
    """A server that should be here is not installed; the text says how to install it."""


class ServerFailed(Exception):
    """A server does not start or stop; the text has the end of its log."""


def program(name: str, package: str) -> str:
    """The full path of a program of the system's.

    Raises:
        ServerMissing: there is none.
    """
    own = str(Path(sys.executable).parent)  # the environment's programs are another version
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place != own]
    found = shutil.which(name, path=os.pathsep.join([*places, *_MORE_PLACES]))
    if found is None:
        raise ServerMissing(
            f"{name} is not installed: sudo apt-get install {package} (make test does it as root)"
        )
    return found


class Server(ABC):
    """One server with its own folder, ports and password, bound to the loopback.

    Attributes:
        port, tls_port: where it listens; `tls_port` is None if it has no TLS.
        user, password: whom it lets in; nobody without them.
        data: its folder. It stays over `kill` and `stop`, for the next `start`.
        log: its output so far.
    """

    kind: ClassVar[str]
    scheme: ClassVar[str]
    tls_scheme: ClassVar[str | None] = None
    user: ClassVar[str] = "conveyor"
    # Seconds until it is ready, at the very worst: on a machine that is busy with other things.
    patience: ClassVar[float] = 60

    def __init__(self) -> None:
        self.locate()
        self._keeper = keeper()
        self.host = HOST
        self.port = self._keeper.port()
        self.tls_port = None if self.tls_scheme is None else self._keeper.port()
        self.password = secrets.token_urlsafe(12)
        self.certificates = certificates()
        self.data = self._keeper.folder / f"{self.kind}-{self.port}"
        self.data.mkdir()
        self._log = self.data / "output.log"
        self._log.touch()
        self._log_start = 0
        self.pid: int | None = None
        self.configure()

    # ---- what each server says

    @abstractmethod
    def locate(self) -> None:
        """Finds the program, or raises ServerMissing."""

    @abstractmethod
    def configure(self) -> None:
        """Writes what the server reads at every start."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether a client would be served now. May raise OSError instead of returning False."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    # ---- living and dying

    @property
    def running(self) -> bool:
        return self.pid is not None and self._keeper.is_alive(self.pid)

    def start(self) -> None:
        """Starts it, on the data that it has, and waits until it is ready."""
        if self.running:
            return
        self._log_start = self._log.stat().st_size
        self.pid = self._keeper.start(self.command(), env=self.environment(), cwd=self.data, log=self._log)
        self.wait_ready()

    def stop(self) -> None:
        """Ends it as its manual says, and waits for that."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of every process of it. What it had promised to keep is on the disk."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It hangs meanwhile: its connections stay open, and nothing is answered."""
        assert self.pid is not None
        self._keeper.signal(self.pid, signal.SIGSTOP)
        self._wait(self._all_stopped, 10, "does not freeze")  # of several threads some run on for a moment
        try:
            yield
        finally:
            self._keeper.signal(self.pid, signal.SIGCONT)

    def _all_stopped(self) -> bool:
        states = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(each.read_text().rpartition(")")[2].split()[0] == "T" for each in states)

    def wait_ready(self, timeout: float | None = None) -> None:
        """Waits until a client would be served.

        Raises:
            ServerFailed: it ended instead, or the time is up.
        """
        self._wait(self._ready_or_dead, self.patience if timeout is None else timeout, "is not ready")

    def _ready_or_dead(self) -> bool:
        try:
            if self.is_ready():
                return True
        except OSError:
            pass
        if not self.running:
            assert self.pid is not None
            raise ServerFailed(
                f"{self.kind} ended with {self._keeper.exitcode(self.pid)} instead of starting{self._tail()}"
            )
        return False

    def _end(self, number: int) -> None:
        if self.pid is None:
            return
        pid = self.pid
        self._keeper.signal(pid, number)
        self._wait(lambda: not self._keeper.is_alive(pid), self.patience, "does not end")
        self.pid = None

    def _wait(self, done: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        pause = 0.002
        while not done():
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.kind} {what} after {timeout:g} s{self._tail()}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    # ---- what a test needs to know

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def log_of_this_start(self) -> str:
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")

    def _tail(self) -> str:
        return f"; the end of its log ({self._log}):\n" + "\n".join(self.log.splitlines()[-25:])

    def connect(self, timeout: float = 5, *, port: int | None = None) -> socket.socket:
        """A bare connection to its port, or another of its ports."""
        return socket.create_connection((self.host, port or self.port), timeout)

    def url(
        self,
        path: str = "",
        *,
        tls: bool = False,
        host: str | None = None,
        port: int | None = None,
        user: str | None = None,
        password: str | None = None,
        **query: str,
    ) -> str:
        """The URL for `conveyor.connect`; with another host, port (a proxy's), user or password if wanted."""
        if tls and self.tls_port is None:
            raise ValueError(f"{self.kind} has no TLS here")
        scheme = self.tls_scheme if tls else self.scheme
        port = port or (self.tls_port if tls else self.port)
        who = self.credentials(
            self.user if user is None else user, self.password if password is None else password
        )
        options = f"?{urlencode(query)}" if query else ""
        return f"{scheme}://{who}{host or self.host}:{port}/{self.prefix}{path}{options}"

    def proxy(self) -> Proxy:
        """A proxy in front of the plain port, for `url(port=proxy.port)`; a context manager, or `close` it."""
        return Proxy((self.host, self.port))

    prefix: ClassVar[str] = ""  # what stands before the name in a URL's path

    def credentials(self, user: str, password: str) -> str:
        return f"{quote(user, safe='')}:{quote(password, safe='')}@"

    def __repr__(self) -> str:
        return f"<{self.kind} at {self.host}:{self.port}{'' if self.running else ', not running'}>"
