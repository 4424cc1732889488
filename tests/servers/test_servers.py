"""The servers that the tests start: they serve, they die, they come back with what they had promised to keep."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers import KINDS, make, shared
from servers.clients import Refused, find, keep
from servers.fixtures import running
from servers.keeper import keeper
from servers.server import Server, ServerFailed, ServerMissing, program

WITH_TLS = [kind for kind in KINDS if kind != "valkey"]
STARTERS = Path(__file__).parent


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    return running(request.param)


def only_if_real(server: Server) -> None:
    if server.kind == "kafka-mock":
        pytest.skip("librdkafka's mock: no data that outlives it, no TLS, no password")


class TestEachServer:
    def test_keeps_what_it_was_given_when_it_is_killed(self, server: Server) -> None:
        only_if_real(server)
        keep(server, b"first")
        before = server.pid
        server.kill()
        assert not server.running
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.start()
        assert server.pid != before
        assert find(server) == b"first"

    def test_keeps_it_over_a_stop(self, server: Server) -> None:
        only_if_real(server)
        keep(server, b"first")
        port = server.port
        server.restart()
        assert server.port == port
        assert find(server) == b"first"

    def test_serves(self, server: Server) -> None:
        keep(server, b"first")
        assert find(server) == b"first"

    def test_lets_nobody_in_without_the_password(self, server: Server) -> None:
        only_if_real(server)
        with pytest.raises(Refused):
            keep(server, b"x", password=secrets.token_hex(8))

    def test_listens_on_the_loopback_alone(self, server: Server) -> None:
        only_if_real(server)  # its address is librdkafka's business
        assert server.pid is not None
        groups = subprocess.check_output(["ps", "-o", "pid=", "-g", str(server.pid)], text=True).split()
        inodes = {
            target.removeprefix("socket:[").rstrip("]")
            for pid in groups
            for link in Path(f"/proc/{pid}/fd").iterdir()
            if (target := os.readlink(link)).startswith("socket:[")  # noqa: PTH115
        }
        listening = [
            words[1]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            if (words := line.split())[3] == "0A" and words[9] in inodes
        ]
        assert listening
        for address in listening:
            assert re.match("0100007F:|0000000000000000FFFF00000100007F:", address), listening

    def test_hangs_when_it_is_told_to(self, server: Server) -> None:
        with server.frozen():
            assert server.running
            with server.connect() as connection:  # the kernel accepts
                connection.settimeout(0.2)
                connection.sendall(b"\r\n\r\n\r\n\r\n")
                with pytest.raises(TimeoutError):
                    if connection.recv(1) == b"":
                        pytest.fail("it ended the connection")
        keep(server, b"first")

    def test_a_second_one_runs_beside_it(self, server: Server) -> None:
        other = make(server.kind)
        other.start()
        try:
            assert other.port != server.port
            keep(other, b"second")
            assert find(other) == b"second"
        finally:
            other.kill()


class TestTls:
    @pytest.fixture(params=WITH_TLS)
    def server(self, request: pytest.FixtureRequest) -> Server:
        made = running(request.param)
        only_if_real(made)
        return made

    def test_serves(self, server: Server) -> None:
        keep(server, b"first", tls=True)
        assert find(server, tls=True) == b"first"

    def test_has_a_certificate_that_others_do_not_trust(self, server: Server) -> None:
        with pytest.raises(Refused):
            keep(server, b"x", tls=True, ca=server.certificates.other_ca)


class TestUrls:
    @pytest.mark.parametrize(
        ("kind", "right"),
        [
            ("redis", r"redis://:[\w-]+@127\.0\.0\.1:\d+/0/jobs"),
            ("nats", r"nats://conveyor:[\w-]+@127\.0\.0\.1:\d+/jobs"),
            ("rabbitmq", r"amqp://conveyor:[\w-]+@127\.0\.0\.1:\d+/jobs"),
        ],
    )
    def test_are_those_of_connect(self, kind: str, right: str) -> None:
        assert re.fullmatch(right, make(kind).url("jobs"))

    def test_take_other_parts(self) -> None:
        url = make("redis").url("jobs", tls=True, host="localhost", port=7, password="p/w", sync="full")
        assert url == "rediss://:p%2Fw@localhost:7/0/jobs?sync=full"

    def test_without_tls(self) -> None:
        with pytest.raises(ValueError, match="no TLS"):
            make("valkey").url("jobs", tls=True)


class TestTheKeeper:
    PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
from servers import make
from servers.keeper import keeper
server = make("redis")
server.start()
print(server.pid, server.port, keeper().folder, flush=True)
if sys.argv[2] == "hang":
    time.sleep(600)
"""

    def run(self, how: str) -> tuple[subprocess.Popen[str], int, int, Path]:
        started = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, str(STARTERS.parent), how], stdout=subprocess.PIPE, text=True
        )
        assert started.stdout is not None
        with started.stdout:
            pid, port, folder = started.stdout.readline().split()
        return started, int(pid), int(port), Path(folder)

    def ends(self, pid: int, folder: Path) -> None:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() or folder.exists():
            assert time.monotonic() < deadline, "the server outlives its test run"
            time.sleep(0.005)

    def test_ends_the_servers_with_the_run(self) -> None:
        started, pid, _, folder = self.run("end")
        assert started.wait() == 0
        self.ends(pid, folder)

    def test_ends_them_when_the_run_is_killed(self) -> None:
        started, pid, _, folder = self.run("hang")
        assert folder.exists()
        started.kill()
        assert started.wait() == -signal.SIGKILL
        self.ends(pid, folder)

    def test_two_runs_have_different_ports(self) -> None:
        started, _, port, _ = self.run("hang")
        try:
            mine = {keeper().port() for _ in range(200)}
            assert port not in mine
            assert len(mine) == 200
        finally:
            started.kill()
            started.wait()

    def test_a_server_that_cannot_start_says_why(self) -> None:
        server = make("redis")
        (server.data / "redis.conf").write_text("no-such-option 1\n")
        with pytest.raises(ServerFailed, match="no-such-option"):
            server.start()

    def test_one_that_was_killed_is_started_for_the_next_test(self) -> None:
        shared("redis").kill()
        assert shared("redis").running


def test_what_is_not_installed_is_named_with_its_package() -> None:
    with pytest.raises(ServerMissing, match="sudo apt-get install some-package"):
        program("no-such-program-anywhere", "some-package")
