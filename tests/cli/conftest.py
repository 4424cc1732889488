"""Real processes for the tests of the command: with pipes, or on a terminal of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FUNCTIONS = HERE / "map_functions.py"
PATIENCE = 30.0  # seconds; what takes longer hangs

Run = Callable[..., "Done"]
Start = Callable[..., "Running"]


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def read_until(fd: int, found: Callable[[bytes], bool], data: bytes = b"") -> bytes:
    """Read until the data satisfies, and fail if it ends or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not found(data):
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"waited too long; so far: {data[-300:]!r}"
        try:
            more = os.read(fd, 65536)
        except OSError:  # a terminal whose last process has gone
            more = b""
        assert more, f"it ended; what came: {data[-300:]!r}"
        data += more
    return data


def wait_dead(pid: int) -> None:
    """Return when that process is dead."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], PATIENCE)[0], f"process {pid} is still alive"
    finally:
        os.close(fd)


class Running:
    """A command under way. `out` and `err` are descriptors to read, `terminal` the master of its pty."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], terminal: str = "") -> None:
        self._open = ExitStack()
        self.terminal = -1
        streams: dict[str, int] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        slave = -1
        if terminal:
            self.terminal, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x18\x00\x64\x00\x00\x00\x00\x00")  # 24 x 100
            self._open.callback(os.close, self.terminal)
            for name in terminal.split():
                streams[name] = slave

        def own_terminal() -> None:
            os.setsid()
            if slave >= 0:
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            env=environment,
            preexec_fn=own_terminal,
            bufsize=0,
            **streams,  # type: ignore[call-overload]
        )
        if slave >= 0:
            os.close(slave)
        self.pid: int = self.process.pid

    @property
    def out(self) -> int:
        return self.process.stdout.fileno() if self.process.stdout else self.terminal

    @property
    def err(self) -> int:
        return self.process.stderr.fileno() if self.process.stderr else self.terminal

    def send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def finish(self) -> Done:
        """Read all that comes, and wait for the end."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        left = {fd: b"" for fd in {self.out, self.err} if not self._is_closed(fd)}
        open_fds = set(left)
        deadline = time.monotonic() + PATIENCE
        while open_fds:
            ready = select.select(list(open_fds), [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, f"it does not end; so far: { {fd: data[-300:] for fd, data in left.items()} }"
            for fd in ready:
                try:
                    more = os.read(fd, 65536)
                except OSError:
                    more = b""
                if not more:
                    open_fds.discard(fd)
                left[fd] += more
        code = self.process.wait(PATIENCE)
        return Done(code, left.get(self.out, b"").decode(), left.get(self.err, b"").decode())

    def _is_closed(self, fd: int) -> bool:
        return (self.process.stdout is not None and self.process.stdout.closed and fd == -1) or fd < 0

    def close_out(self) -> None:
        """Stop reading its output, as `head` does."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self._open.close()


class Gate:
    """The test's side of `map_functions.gate`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.mkfifo(folder / "begun")
        os.mkfifo(folder / "gate")
        # Open for both, so that neither side's coming and going ends it.
        self._begun = os.open(folder / "begun", os.O_RDWR)
        self._gate = os.open(folder / "gate", os.O_RDWR)
        self._seen = b""

    def wait_begun(self, count: int) -> dict[str, int]:
        """Wait until so many items wait at the gate; their names and their workers' pids."""
        self._seen = read_until(self._begun, lambda data: data.count(b"\n") >= count, self._seen)
        return {line.split()[1]: int(line.split()[0]) for line in self._seen.decode().splitlines()}

    def open(self, times: int = 1) -> None:
        """Let so many items pass."""
        os.write(self._gate, b"." * times)

    @property
    def log(self) -> list[str]:
        """Every item that has begun, in that order."""
        path = self.folder / "log"
        return [line.split(maxsplit=1)[1] for line in path.read_text().splitlines()] if path.exists() else []

    def close(self) -> None:
        os.close(self._begun)
        os.close(self._gate)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    # Unbuffered, `print` writes a line and its end apart, and those of two processes may mix.
    unwanted = ("CONVEYOR_", "NO_COLOR", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "TEST_FOLDER": str(tmp_path), "TERM": "xterm-256color", "COLUMNS": "100"}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start `conveyor …`, or a script; `terminal="stderr"` names the streams that are on a terminal."""
    running: list[Running] = []

    def start_it(
        *words: str, env: dict[str, str] | None = None, terminal: str = "", script: Path | None = None
    ) -> Running:
        command = [sys.executable, *(["-m", "conveyor"] if script is None else [str(script)]), *words]
        running.append(Running(command, {**environment, **(env or {})}, terminal))
        return running[-1]

    yield start_it
    for each in running:
        each.close()


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run `conveyor …` to its end with this input."""

    def run_it(
        *words: str, stdin: str | bytes = b"", env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "conveyor", *words],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env={**environment, **(env or {})},
            timeout=PATIENCE,
            cwd=cwd,
            check=False,
        )
        return Done(
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )

    return run_it


@pytest.fixture
def function() -> Callable[[str], str]:
    """A function of map_functions.py as `conveyor map` takes it."""
    return lambda name: f"{FUNCTIONS}:{name}"


def numbers(count: int) -> str:
    return "".join(f"{number}\n" for number in range(1, count + 1))


@pytest.fixture(name="numbers")
def numbers_fixture() -> Callable[[int], str]:
    """The lines 1 to `count`."""
    return numbers


@pytest.fixture(name="read_until")
def read_until_fixture() -> Callable[..., bytes]:
    return read_until


@pytest.fixture(name="wait_dead")
def wait_dead_fixture() -> Callable[[int], None]:
    return wait_dead
