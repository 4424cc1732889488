"""Apache Kafka, one node (KRaft), with share groups; and librdkafka's imitation where Kafka cannot be had."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import uuid
from typing import ClassVar

from .kafka_jars import java, kafka_jars, locked
from .proxy import Proxy
from .server import HOST, Server, ServerFailed, ServerMissing

__all__ = ["Kafka", "MockKafka"]

# Started often and not for long: no time for the best code.
_JAVA_OPTIONS = [
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Xshare:auto",
]

# A member of a group that dies is to be noticed in a test's time: what clients may ask for is lowered.
_SETTINGS = {
    # After a kill -9 the controller takes the dead broker for alive for so long, and its heir must wait.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "200",
    "group.share.min.session.timeout.ms": "500",
    "group.share.min.heartbeat.interval.ms": "100",
    "group.share.min.record.lock.duration.ms": "1000",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "2",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.num.partitions": "2",
    "share.coordinator.state.topic.min.isr": "1",
    "auto.create.topics.enable": "false",
}


class Kafka(Server):
    """A client is told by the server where to connect: `proxy()` stands where one of the listeners says.

    Attributes:
        open_port: a listener without passwords.
        settings: what server.properties has beyond the listeners; change it before `start`.
    """

    kind: ClassVar[str] = "kafka"
    scheme: ClassVar[str] = "kafka"
    tls_scheme: ClassVar[str | None] = "kafka+ssl"
    patience: ClassVar[float] = 180
    mock: ClassVar[bool] = False

    def locate(self) -> None:
        self._java = java()
        self._jars = kafka_jars()
        version = subprocess.run([self._java, "-version"], capture_output=True, check=True).stderr
        self._archive = self._jars / f"classes-{hashlib.sha256(version).hexdigest()[:12]}.jsa"

    def configure(self) -> None:
        self.open_port = self._keeper.port()
        self.proxy_port, self._behind_proxy_port = self._keeper.port(), self._keeper.port()
        self._controller_port = self._keeper.port()
        self.settings = dict(_SETTINGS)
        self._formatted = False
        self._more_options: list[str] = []

    def _properties(self) -> str:
        # listener -> (protocol, its port, the port that clients are told)
        listeners = {
            "OPEN": ("PLAINTEXT", self.open_port, self.open_port),
            "PASSWORD": ("SASL_PLAINTEXT", self.port, self.port),
            "TLS": ("SASL_SSL", self.tls_port, self.tls_port),
            "PROXIED": ("SASL_PLAINTEXT", self._behind_proxy_port, self.proxy_port),
            "CONTROLLER": ("PLAINTEXT", self._controller_port, None),
        }
        store = self.data / "server-key-and-chain.pem"
        store.write_bytes(self.certificates.key.read_bytes() + self.certificates.chain.read_bytes())
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{HOST}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "OPEN",
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, (_, port, _) in listeners.items()),
            "advertised.listeners": ",".join(
                f"{name}://{HOST}:{told}" for name, (_, _, told) in listeners.items() if told is not None
            ),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, (protocol, _, _) in listeners.items()
            ),
            "log.dir": str(self.data / "log"),
            "sasl.enabled.mechanisms": "PLAIN",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            **{
                f"listener.name.{name.lower()}.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain."
                f'PlainLoginModule required user_{self.user}="{self.password}";'
                for name in ("PASSWORD", "TLS", "PROXIED")
            },
            **self.settings,
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def _java_command(self, *options: str) -> list[str]:
        jars = ":".join(
            map(str, sorted(self._jars.glob("*.jar")))
        )  # the archive holds for this very class path
        archive = [f"-XX:SharedArchiveFile={self._archive}"] if self._archive.exists() else []
        return [self._java, *_JAVA_OPTIONS, *archive, *options, "-cp", jars]

    def _run_java(self, *arguments: str) -> None:
        done = subprocess.run(
            arguments, cwd=self.data, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ServerFailed(f"kafka's {arguments[-1]} failed:\n{done.stdout}\n{done.stderr}")

    def start(self) -> None:
        if not self._formatted:
            properties = self.data / "server.properties"
            properties.write_text(self._properties())
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
            self._run_java(
                *self._java_command(),
                *["kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster}"],
                *["--config", str(properties)],
            )
            self._formatted = True
            self._write_archive()
        super().start()

    def _write_archive(self) -> None:
        """Once for these jars: a start and a stop, in which Java writes down what it has loaded."""
        with locked():
            if self._archive.exists():
                return
            made = self._archive.with_suffix(f".{os.getpid()}")
            self._more_options = [f"-XX:ArchiveClassesAtExit={made}"]
            try:
                super().start()
                self.stop()
                made.rename(self._archive)
            finally:
                self._more_options = []
                made.unlink(missing_ok=True)

    def command(self) -> list[str]:
        properties = str(self.data / "server.properties")
        return [*self._java_command(*self._more_options), "kafka.Kafka", properties]

    def is_ready(self) -> bool:
        return "Kafka Server started" in self.log_of_this_start

    @property
    def bootstrap(self) -> str:
        """For a client without passwords."""
        return f"{self.host}:{self.open_port}"

    def proxy(self) -> Proxy:
        return Proxy((self.host, self._behind_proxy_port), port=self.proxy_port)


_MOCK = """
import sys, time
from confluent_kafka import Producer
producer = Producer({"test.mock.num.brokers": 1})
[broker] = producer.list_topics(timeout=30).brokers.values()
print("listening", broker.host, broker.port, flush=True)
while True:
    time.sleep(3600)
"""


class MockKafka(Server):
    """librdkafka's mock cluster: no password, no TLS, no admin, and what it holds dies with it."""

    kind: ClassVar[str] = "kafka-mock"
    scheme: ClassVar[str] = "kafka"
    user: ClassVar[str] = ""
    mock: ClassVar[bool] = True

    def locate(self) -> None:
        from importlib.util import find_spec

        if find_spec("confluent_kafka") is None:
            raise ServerMissing(
                "confluent-kafka is not installed: pip install confluent-kafka (make .venv/.test does it)"
            )

    def configure(self) -> None: ...

    def command(self) -> list[str]:
        return [sys.executable, "-c", _MOCK]

    def is_ready(self) -> bool:
        words = self.log_of_this_start.split()
        if "listening" not in words or len(words) < 3:
            return False
        self.port = int(words[words.index("listening") + 2])
        return True

    def credentials(self, user: str, password: str) -> str:
        return ""

    @property
    def bootstrap(self) -> str:
        return f"{self.host}:{self.port}"
