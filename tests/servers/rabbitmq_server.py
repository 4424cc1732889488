"""RabbitMQ: Debian's package, started by hand with everything of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from .server import Server, ServerMissing, program

__all__ = ["RabbitMQ"]

# The package's own command in /usr/sbin changes to the user rabbitmq, whose folders are the system's.
_COMMAND = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ(Server):
    """A quorum queue whose server is killed within half a second of its making is lost for good, with what it holds.

    The server keeps the list of them in a file that it writes when it was left alone for so long, and one that is
    not on the list starts anew and never has a leader (rabbitmq-server#15725). A test that kills right after it has
    declared a queue calls `wait_registered` in between.
    """

    kind: ClassVar[str] = "rabbitmq"
    scheme: ClassVar[str] = "amqp"
    tls_scheme: ClassVar[str | None] = "amqps"
    patience: ClassVar[float] = 120

    def locate(self) -> None:
        if not _COMMAND.exists():
            raise ServerMissing(
                "rabbitmq-server is not installed: sudo apt-get install rabbitmq-server (make test does it as root)"
            )
        self._epmd_program = program("epmd", "rabbitmq-server")

    def configure(self) -> None:
        self._epmd_port, self._cluster_port = self._keeper.port(), self._keeper.port()
        self._epmd: int | None = None
        self.node = f"conveyor-{self.port}@localhost"
        (self.data / "rabbitmq.conf").write_text(
            f"""
listeners.tcp.1 = {self.host}:{self.port}
listeners.ssl.1 = {self.host}:{self.tls_port}
ssl_options.cacertfile = {self.certificates.ca}
ssl_options.certfile = {self.certificates.chain}
ssl_options.keyfile = {self.certificates.key}
ssl_options.verify = verify_none
default_user = {self.user}
default_pass = {self.password}
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
disk_free_limit.absolute = 1MB
log.console.level = warning
"""
        )
        (self.data / "plugins").write_text("[].\n")
        (self.data / "env.conf").touch()

    def environment(self) -> dict[str, str]:
        own = {
            "HOME": self.data,  # of the cookie
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": self._cluster_port,
            "RABBITMQ_CONF_ENV_FILE": self.data / "env.conf",
            "RABBITMQ_CONFIG_FILE": self.data / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.data / "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.data / "plugins",
            "RABBITMQ_MNESIA_BASE": self.data / "mnesia",
            "RABBITMQ_GENERATED_CONFIG_DIR": self.data / "generated",
            "RABBITMQ_SCHEMA_DIR": self.data / "schema",
            "RABBITMQ_PID_FILE": self.data / "pid",
            "RABBITMQ_LOG_BASE": self.data,
            "RABBITMQ_LOGS": "-",
            # No waiting loops on processors that others need, and the cluster's port for this machine alone.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": self._epmd_port,
            "ERL_EPMD_ADDRESS": self.host,
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then becomes the server, and is not its parent
        }
        return {**os.environ, **{name: str(value) for name, value in own.items()}}

    def command(self) -> list[str]:
        return [str(_COMMAND)]

    def start(self) -> None:
        # Erlang's register of names. RabbitMQ would start one that outlives it.
        if self._epmd is None:
            self._epmd = self._keeper.start(
                [self._epmd_program, "-port", str(self._epmd_port), "-address", self.host],
                env=self.environment(),
                cwd=self.data,
                log=self._log,
            )
        super().start()

    def is_ready(self) -> bool:
        with self.connect() as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            start = connection.recv(11)
        return start[:1] == b"\x01" and start[7:11] == b"\x00\x0a\x00\x0a"  # a method: connection.start

    def wait_registered(self, queue: str) -> None:
        """Waits until a quorum queue of the virtual host "/" would survive a kill."""
        file = self.data / "mnesia" / self.node / "quorum" / self.node / "names.dets"
        self._wait(lambda: f"%2F_{queue}".encode() in file.read_bytes(), 30, f"does not register {queue}")

    def control(self, *arguments: str) -> str:
        """The output of `rabbitmqctl ARGUMENTS`."""
        return subprocess.run(
            [str(_COMMAND.with_name("rabbitmqctl")), "--quiet", "--node", self.node, *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
