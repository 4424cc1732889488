"""A TCP proxy that cuts, delays, half-closes and refuses, at a test's word."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from .keeper import keeper

__all__ = ["Proxy"]

Direction = Literal["both", "to_server", "to_client"]


class Proxy:
    """Stands between clients and a server, in a process of its own; what it does is said by methods.

    Args:
        target: (host, port) of the server.
        host, port: where clients connect; by default a free port of the loopback.
        namespace: name of the network namespace in which it listens and connects; None: this process's.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        namespace: str | None = None,
    ) -> None:
        self._keeper = keeper()
        self.host, self.target = host, target
        self.port = self._keeper.port() if port is None else port
        self._name = f"conveyor-proxy-{secrets.token_hex(8)}"
        log = self._keeper.folder / f"proxy-{self.port}.log"
        arguments = [self._name, host, str(self.port), target[0], str(target[1]), namespace or ""]
        program = Path(__file__).with_name("proxy_process.py")
        self._pid = self._keeper.start(
            [sys.executable, "-SE", str(program), *arguments],
            env=dict(os.environ),
            cwd=self._keeper.folder,
            log=log,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.connections()
                return
            except OSError:
                if time.monotonic() > deadline or not self._keeper.is_alive(self._pid):
                    raise OSError(f"the proxy does not start:\n{log.read_text()}") from None
                time.sleep(0.005)

    def cut(self) -> int:
        """Resets every connection at once (RST to both sides), as a broken router would; returns how many."""
        return int(self._ask(do="cut")["count"])

    def close_all(self) -> int:
        """Ends every connection politely (FIN to both sides)."""
        return int(self._ask(do="close")["count"])

    def half_close(self, direction: Direction) -> int:
        """Ends one direction of every connection: its receiver sees the end, the other direction goes on."""
        return int(self._ask(do="half_close", direction=direction)["count"])

    def refuse(self) -> None:
        """No new connections from now on (connection refused); those that are stay."""
        self._ask(do="refuse")

    def accept(self) -> None:
        """New connections again."""
        self._ask(do="accept")

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """What passes from now on arrives that much later."""
        self._ask(do="delay", seconds=seconds, direction=direction)

    def hold(self, direction: Direction = "both") -> None:
        """Nothing passes, and nobody is told; what is sent meanwhile is kept."""
        self._ask(do="hold", direction=direction)

    def release(self, direction: Direction = "both") -> None:
        """What was held passes."""
        self._ask(do="release", direction=direction)

    def cut_after(self, count: int, direction: Direction = "both") -> None:
        """Resets a connection as soon as `count` more bytes have passed in that direction: in the middle of a message.

        The rest is dropped. It happens once, to the connection that gets there first.
        """
        self._ask(do="cut_after", count=count, direction=direction)

    def retarget(self, host: str, port: int) -> None:
        """New connections go to another server."""
        self._ask(do="retarget", host=host, port=port)
        self.target = (host, port)

    def connections(self) -> int:
        """How many are open."""
        return int(self._ask(do="count")["count"])

    def passed(self) -> tuple[int, int]:
        """Bytes that have passed so far (to the server, to the clients)."""
        reply = self._ask(do="count")
        return int(reply["to_server"]), int(reply["to_client"])

    def close(self) -> None:
        if self._keeper.is_alive(self._pid):
            self._keeper.signal(self._pid, signal.SIGKILL)
            while self._keeper.is_alive(self._pid):
                time.sleep(0.002)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(f"\0{self._name}")
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply: dict[str, Any] = json.loads(stream.readline() or b"{}")
        if "error" in reply:
            raise OSError(f"the proxy cannot do {request['do']!r}: {reply['error']}")
        return reply
