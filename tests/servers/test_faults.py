"""The proxy and the network of the tests do what they say."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from servers import Network, Proxy
from servers.clients import find, keep
from servers.redis_server import Redis


class Echo:
    """Sends back what it gets, and ends when the other side does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.outcomes: list[str] = []  # of each connection: "end" or "reset"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
                self.outcomes.append("end")
            except OSError:
                self.outcomes.append("reset")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.address) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), 10) as made:
        made.sendall(b"hello")
        assert receive(made, 5) == b"hello"
        yield made


def receive(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (more := connection.recv(size - len(got))):
        got += more
    return got


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class TestTheProxy:
    def test_counts(self, proxy: Proxy, client: socket.socket) -> None:
        assert proxy.connections() == 1
        assert proxy.passed() == (5, 5)
        client.close()
        wait_for(lambda: proxy.connections() == 0)

    def test_passes_more_than_fits_anywhere(self, proxy: Proxy, client: socket.socket) -> None:
        content = bytes(range(256)) * 40_000
        sender = threading.Thread(target=client.sendall, args=(content,))
        sender.start()
        assert receive(client, len(content)) == content
        sender.join()
        assert proxy.passed() == (len(content) + 5, len(content) + 5)

    def test_cuts(self, proxy: Proxy, client: socket.socket, echo: Echo) -> None:
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        wait_for(lambda: echo.outcomes == ["reset"])

    def test_ends_politely(self, proxy: Proxy, client: socket.socket, echo: Echo) -> None:
        assert proxy.close_all() == 1
        assert client.recv(1) == b""
        wait_for(lambda: echo.outcomes == ["end"])

    def test_half_closes_towards_the_client(self, proxy: Proxy, client: socket.socket) -> None:
        assert proxy.half_close("to_client") == 1
        assert client.recv(1) == b""
        before, _ = proxy.passed()
        client.sendall(b"still")  # the way to the server is open
        wait_for(lambda: proxy.passed()[0] == before + 5)

    def test_half_closes_towards_the_server(self, proxy: Proxy, client: socket.socket, echo: Echo) -> None:
        assert proxy.half_close("to_server") == 1
        wait_for(lambda: echo.outcomes == ["end"])

    def test_passes_a_half_close_of_the_client_on(self, client: socket.socket, echo: Echo) -> None:
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"last"
        wait_for(lambda: echo.outcomes == ["end"])

    def test_delays(self, proxy: Proxy, client: socket.socket) -> None:
        proxy.delay(0.15, "to_server")
        begin = time.monotonic()
        client.sendall(b"slow")
        assert receive(client, 4) == b"slow"
        assert time.monotonic() - begin >= 0.15
        proxy.delay(0)
        client.sendall(b"fast")
        assert receive(client, 4) == b"fast"

    def test_holds_and_releases(self, proxy: Proxy, client: socket.socket) -> None:
        proxy.hold("to_client")
        client.sendall(b"held")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        proxy.release()
        assert receive(client, 4) == b"held"

    def test_refuses_new_connections_alone(self, proxy: Proxy, client: socket.socket) -> None:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((proxy.host, proxy.port), 5)
        client.sendall(b"old")
        assert receive(client, 3) == b"old"
        proxy.accept()
        with socket.create_connection((proxy.host, proxy.port), 5) as other:
            other.sendall(b"new")
            assert receive(other, 3) == b"new"

    def test_cuts_in_the_middle_of_a_message(self, proxy: Proxy, client: socket.socket) -> None:
        proxy.cut_after(10, "to_client")
        client.sendall(b"0123456789abcdef")
        with pytest.raises(ConnectionResetError):
            while client.recv(100):
                pass
        assert proxy.passed()[1] == 15
        with socket.create_connection((proxy.host, proxy.port), 5) as other:  # it happens once
            other.sendall(b"0123456789abcdef")
            assert receive(other, 16) == b"0123456789abcdef"

    def test_finds_another_server(self, proxy: Proxy, client: socket.socket) -> None:
        second = Echo()
        try:
            proxy.retarget(*second.address)
            with socket.create_connection((proxy.host, proxy.port), 5) as other:
                other.sendall(b"x")
                assert receive(other, 1) == b"x"
            wait_for(lambda: second.outcomes == ["end"])
        finally:
            second.close()

    def test_resets_when_there_is_no_server(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = taken.getsockname()
        with (
            Proxy(address) as proxy,
            pytest.raises(ConnectionResetError),  # possibly before the connection is made
            socket.create_connection((proxy.host, proxy.port), 5) as client,
        ):
            client.recv(1)

    @pytest.mark.parametrize("kind", ["rabbitmq", "redis", "nats", "kafka"])
    def test_stands_before_each_server(self, kind: str, request: pytest.FixtureRequest) -> None:
        server = request.getfixturevalue(kind)
        if server.kind == "kafka-mock":
            pytest.skip("librdkafka's mock tells clients its own address")
        with server.proxy() as proxy:
            keep(server, b"first", port=proxy.port)
            assert find(server, port=proxy.port) == b"first"
            up, down = proxy.passed()
            assert up > len(b"first") < down


CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as connection:
    connection.sendall(b"ping\\r\\n")
    print(connection.recv(100).split()[0].decode(), flush=True)
    for line in sys.stdin:
        connection.settimeout(float(line))
        connection.sendall(b"ping\\r\\n")
        try:
            print(connection.recv(100).split()[0].decode(), flush=True)
        except TimeoutError:
            print("silence", flush=True)
"""


class TestTheNetwork:
    def test_is_made_of_machines_that_reach_our_servers(self, network: Network, redis: Redis) -> None:
        for machine in (network.left, network.right):
            machine.forward(redis.port)
            client = machine.popen(
                [sys.executable, "-c", CLIENT, str(redis.port)], stdin=-1, stdout=-1, text=True
            )
            assert client.communicate("5\n")[0].split() == ["-NOAUTH", "-NOAUTH"]

    def test_a_machine_has_nothing_else(self, network: Network, redis: Redis) -> None:
        client = network.left.popen(
            [sys.executable, "-c", CLIENT, str(redis.port)], stdin=-1, stdout=-1, stderr=-1, text=True
        )
        assert "ConnectionRefusedError" in client.communicate("")[1]

    def test_a_cable_can_be_pulled(self, network: Network, redis: Redis) -> None:
        network.left.forward(redis.port)
        client = network.left.popen(
            [sys.executable, "-c", CLIENT, str(redis.port)], stdin=-1, stdout=-1, text=True
        )
        assert client.stdin is not None
        assert client.stdout is not None
        with client.stdin, client.stdout:
            assert client.stdout.readline() == "-NOAUTH\n"
            network.left.unplug()
            client.stdin.write("0.3\n")
            client.stdin.flush()
            assert client.stdout.readline() == "silence\n"
            network.left.plug()
            client.stdin.write("60\n")  # TCP repeats what was lost when its time has come
            client.stdin.flush()
            assert client.stdout.readline() == "-NOAUTH\n"
        client.wait()

    def test_a_child_can_move_in(self, network: Network, redis: Redis) -> None:
        network.right.forward(redis.port)

        def try_it() -> None:
            network.right.enter()
            names.append(socket.if_nameindex())

        names: list[list[tuple[int, str]]] = []
        mover = threading.Thread(target=try_it)  # a namespace is a thread's
        mover.start()
        mover.join()
        assert {name for _, name in names[0]} == {"lo", "eth0"}
