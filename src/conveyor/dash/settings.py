"""Settings: what a dashboard is asked to show, to whom, and how."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field

__all__ = ["PORT", "Settings"]

PORT = 8642


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server needs to know before it begins.

    Raises:
        ValueError: `host` is no address and no name; the port is none.
    """

    urls: tuple[str, ...] = ()
    """Queues and topics on brokers, whose figures are fetched; and queues that may be acted on."""
    host: str = "127.0.0.1"
    port: int = PORT
    """The first that is tried; 0: any."""
    read_only: bool = False
    """There is no way to change anything."""
    token: str = ""
    """What a browser must show; "": nothing, allowed on loopback alone."""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What the page sends with whatever changes something: a page of another site cannot know it."""
    while_pid: int | None = None
    """Serve as long as this process lives; None: until a signal."""
    every: float = 1.0
    """Seconds between two looks."""

    def __post_init__(self) -> None:
        if not self.host or self.host != self.host.strip() or any(c in self.host for c in "/@ \t\r\n"):
            raise ValueError(f"host is {self.host!r}; it must be an address or a name, as in 127.0.0.1")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; it must be from 0 to 65535")
        if self.token and (not self.token.isascii() or not self.token.isprintable() or " " in self.token):
            raise ValueError("token has characters that a URL cannot carry; use letters, digits, - and _")
        if not self.token and not self.is_loopback:
            object.__setattr__(self, "token", secrets.token_urlsafe(24))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False
