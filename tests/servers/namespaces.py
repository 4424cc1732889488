"""Two network namespaces, joined with this one by veth pairs: two machines, as far as the network goes."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from .keeper import keeper
from .proxy import Proxy

__all__ = ["Machine", "Network"]

_CLONE_NEWNET = 0x40000000


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Machine:
    """A namespace with a loopback and one cable to here.

    Attributes:
        name: as `ip netns` knows it.
        address: its own; `gateway`: this end of the cable, where it reaches us.
    """

    def __init__(self) -> None:
        number = keeper().number("network", 512)
        self.name = f"conveyor-{number}"
        # From a range that nobody has at home: RFC 2544 keeps it for benchmarks.
        subnet = f"198.{18 + number // 256}.{number % 256}"
        self.gateway, self.address = f"{subnet}.1", f"{subnet}.2"
        self._forwards: list[Proxy] = []

    def open(self) -> None:
        self.close()  # what a run that was killed has left under that number
        _ip("netns", "add", self.name)
        _ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("addr", "add", f"{self.gateway}/30", "dev", self.name)
        _ip("link", "set", self.name, "up")
        for arguments in (
            ["addr", "add", f"{self.address}/30", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ):
            _ip("-n", self.name, *arguments)

    def forward(self, port: int) -> Proxy:
        """Makes our 127.0.0.1:port the machine's 127.0.0.1:port too, by way of the cable; all URLs stay as they are.

        Returns:
            The proxy at our end of the cable, for faults. It and its counterpart end with the network.
        """
        here = Proxy(("127.0.0.1", port), host=self.gateway)
        self._forwards.append(here)
        self._forwards.append(
            Proxy((self.gateway, here.port), host="127.0.0.1", port=port, namespace=self.name)
        )
        return here

    def unplug(self) -> None:
        """Pulls the cable: packets are lost, and nobody is told."""
        _ip("link", "set", self.name, "down")

    def plug(self) -> None:
        _ip("link", "set", self.name, "up")

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """subprocess.Popen in the machine."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv], **options)

    def enter(self) -> None:
        """Moves the calling thread into the machine; for the first line of a child process."""
        theirs = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(theirs, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(theirs)

    def close(self) -> None:
        for forward in self._forwards:
            forward.close()
        self._forwards.clear()
        for what in ("link", "netns"):
            subprocess.run(["ip", what, "del", self.name], capture_output=True, check=False)


class Network:
    """Two machines, `left` and `right`, that reach this one and not each other. Root only; a context manager."""

    def __init__(self) -> None:
        self.left, self.right = made = Machine(), Machine()
        try:
            for machine in made:
                machine.open()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def refusal() -> str | None:
        """Why no network can be made here; None: one can."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        if shutil.which("ip") is None:
            return "network namespaces need the command ip (Debian: iproute2)"
        name = f"cvt{secrets.token_hex(3)}"
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            return f"the system refuses network namespaces: {made.stderr.strip()}"
        _ip("netns", "del", name)
        return None

    def close(self) -> None:
        self.left.close()
        self.right.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
